"""PSNR against bits per pixel, one panel per clip, one line per coding method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pfnr_train.comparison.rate import RatePoint
from pfnr_train.report.charts import COLOURS, GREY, MARKERS, STYLE, figure_svg


def rate_curves(
    curves: Mapping[str, Mapping[str, Sequence[RatePoint]]], measure: str = "psnr", label: str = "PSNR of RGB, dB"
) -> bytes:
    """An SVG of rate-quality curves.

    curves: by clip, then by method, its points; the first method is drawn strongest, and every panel has the
        same colours.
    measure: the field of `RatePoint` on the upright axis.
    """
    methods = list(dict.fromkeys(method for panel in curves.values() for method in panel))
    across = min(4, len(curves))
    down = -(-len(curves) // across)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            down, across, figsize=(3.0 * across + 0.6, 2.5 * down + 0.9), squeeze=False, layout="constrained"
        )
        lines = {}
        for axis, (clip, panel) in zip(axes.flat, curves.items(), strict=False):
            for k, method in enumerate(methods):
                points = sorted(panel.get(method, ()), key=lambda p: p.bpp)
                if not points:
                    continue
                (lines[method],) = axis.plot(
                    [p.bpp for p in points], [getattr(p, measure) for p in points],
                    marker=MARKERS[k % len(MARKERS)], markersize=3 if k else 5 if len(points) > 1 else 7,
                    color=COLOURS[k % len(COLOURS)] if k < len(COLOURS) else GREY,
                    linewidth=2.2 if k == 0 else 1.0, zorder=3 if k == 0 else 2,
                )  # fmt: skip
            axis.set_title(clip, fontsize=9)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        for axis in list(axes.flat)[len(curves) :]:
            axis.set_visible(False)
        figure.supxlabel("bits per pixel (logarithmic)", fontsize=9)
        figure.supylabel(label, fontsize=9)
        figure.legend(
            [lines[m] for m in methods if m in lines], [m for m in methods if m in lines],
            loc="outside upper left", ncols=min(4, 2 * across), fontsize=8,
        )  # fmt: skip
        return figure_svg(figure)
