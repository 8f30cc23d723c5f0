"""The charts of a report, as SVG files that look the same everywhere: text is drawn as shapes, without dates."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "pfnr",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
BLUE, ORANGE, GREEN, GREY = "#2b6cb0", "#c05621", "#2f855a", "#718096"
COLOURS = (BLUE, ORANGE, GREEN, "#805ad5", "#b83280", "#0e7490", "#975a16", GREY, "#1a202c", "#9f1239", "#4d7c0f")
MARKERS = "osD^vP*X<>h"
NUMBERS_UP_TO = 20  # most sessions for which a heat map can show figures


def figure_svg(figure: Figure) -> bytes:
    """A finished figure as an SVG file, the same bytes each time; closes the figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return buffer.getvalue()


def heat_maps(matrices: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> bytes:
    """Forgetting: PSNR (dB) of every video (row) after each was learnt (column), NaN where there is none.

    matrices: by title, float64 [n, n]; all share one colour scale.
    """
    count, n = len(matrices), len(names)
    across = 1 if count == 1 else (2 if n > 6 else 3)
    down = -(-count // across)
    side = max(3.4, 0.52 * n)
    values = np.concatenate([m.ravel() for m in matrices.values()])
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(
            down,
            across,
            figsize=(across * (side + 1.2) + 0.6, down * (side * 0.82 + 0.9)),
            squeeze=False,
            layout="constrained",
        )
        image = None
        for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=False):
            image = axis.imshow(matrix, cmap="viridis", vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
            axis.set_title(title)
            axis.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
            axis.set_yticks(range(n), names)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            if n <= NUMBERS_UP_TO:
                _write_figures(axis, matrix, low, high)
        for axis in list(axes.flat)[count:]:
            axis.set_visible(False)
        if image is not None:
            figure.colorbar(image, ax=axes, shrink=0.7, label="PSNR, dB")
        figure.supxlabel("after learning", fontsize=9)
        figure.supylabel("video decoded", fontsize=9)
        return figure_svg(figure)


def _write_figures(axis: Axes, matrix: NDArray[np.float64], low: float, high: float) -> None:
    middle = low + 0.6 * (high - low)
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            colour = "white" if value < middle else "black"
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=7)


def frame_curves(curves: Mapping[str, Sequence[float]]) -> bytes:
    """PSNR (dB) of every frame, one small panel per video, all on one scale; the dashed line is the mean."""
    across = min(4, len(curves))
    down = -(-len(curves) // across)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            down, across, figsize=(2.7 * across + 0.5, 1.75 * down + 0.4), sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axis, (name, values) in zip(axes.flat, curves.items(), strict=False):
            mean = float(np.mean(values))
            axis.plot(values, color=BLUE, linewidth=1.2)
            axis.axhline(mean, color=GREY, linewidth=0.8, linestyle="--")
            axis.set_title(f"{name}: {mean:.2f} dB, least {min(values):.2f}", fontsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for axis in list(axes.flat)[len(curves) :]:
            axis.set_visible(False)
        figure.supxlabel("frame", fontsize=9)
        figure.supylabel("PSNR, dB", fontsize=9)
        return figure_svg(figure)


def rate_distortion(series: Mapping[str, Sequence[tuple[str, float, float]]], joined: bool = False) -> bytes:
    """PSNR against bits per pixel (logarithmic). series: by kind of bytes, points (label, bits per pixel, dB).

    Labels are drawn at the first series if all share the same ones, else at every point. joined: draw a line
    through the points of a series, for one method at several rates.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.6, 4.3), layout="constrained")
        labels = [[point[0] for point in points] for points in series.values()]
        once = len(labels) > 1 and all(each == labels[0] for each in labels)
        for k, (kind, points) in enumerate(series.items()):
            rates, figures = [p[1] for p in points], [p[2] for p in points]
            style = "-" if joined and len(points) > 1 else "none"
            colour = COLOURS[k % len(COLOURS)]
            marker = MARKERS[k % len(MARKERS)]
            axis.plot(
                rates, figures, marker=marker, linestyle=style, color=colour, label=kind, markersize=6, linewidth=1
            )
            if not once or k == 0:
                for label, rate, figure_ in points:
                    axis.annotate(
                        label, (rate, figure_), xytext=(6, 3), textcoords="offset points", fontsize=7, color="#333"
                    )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.12, y=0.1)
        axis.set_xlabel("bits per pixel (logarithmic)")
        axis.set_ylabel("PSNR, dB")
        if len(series) > 1 and once:
            axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series), fontsize=8)
        return figure_svg(figure)


def library_growth(parts: Mapping[str, Sequence[int]], names: Sequence[str]) -> bytes:
    """Bytes of the library's file after each session, stacked by kind."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.6, 3.6), layout="constrained")
        bottom = np.zeros(len(names))
        for k, (part, sizes) in enumerate(parts.items()):
            heights = np.asarray(sizes, float) / 1e6
            if not heights.any():
                continue
            share = f"{part} ({heights[-1]:.2f} MB)" if sizes[-1] >= 1e5 else f"{part} ({sizes[-1] / 1e3:.1f} kB)"
            axis.bar(range(len(names)), heights, bottom=bottom, color=COLOURS[k], width=0.7, label=share)
            bottom += heights
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        axis.set_ylabel("MB")
        axis.grid(axis="x", visible=False)
        axis.set_ylim(0, float(bottom.max()) * 1.25)
        axis.legend(ncols=4, loc="upper left", fontsize=8)
        return figure_svg(figure)


def fullness(used: Mapping[str, Sequence[float]], names: Sequence[str]) -> bytes:
    """The part of each tensor in use, after each session."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.6, 3.8), layout="constrained")
        for k, (tensor, parts) in enumerate(used.items()):
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            whole = tensor == "all weights"
            axis.plot(
                range(len(names)), [100 * p for p in parts], marker=marker, markersize=4,
                color="#1a202c" if whole else colour, linewidth=2 if whole else 1.2,
                label=f"{tensor} ({100 * parts[-1]:.0f} %)",
            )  # fmt: skip
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        axis.set_ylim(0, 103)
        axis.set_ylabel("% used by some session")
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure_svg(figure)


def bars(values: Mapping[str, float], unit: str) -> bytes:
    """One horizontal bar per name, with its figure."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.0, 0.34 * len(values) + 0.8), layout="constrained")
        places = np.arange(len(values))
        axis.barh(places, list(values.values()), color=BLUE, height=0.65)
        for place, value in zip(places, values.values(), strict=True):
            side = "left" if value >= 0 else "right"
            axis.annotate(
                f"{value:.2f}", (value, place), xytext=(3 if value >= 0 else -3, 0), textcoords="offset points",
                va="center", ha=side, fontsize=8,
            )  # fmt: skip
        axis.set_yticks(places, list(values))
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.12)
        axis.set_xlabel(unit)
        return figure_svg(figure)
