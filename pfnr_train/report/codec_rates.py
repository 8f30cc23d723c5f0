"""Coded sessions compared with video codecs: what each takes in bytes, and how good it is then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from av.codec.codec import UnknownCodecError

from pfnr_runtime.system.messages import say
from pfnr_train.comparison.rate import RatePoint, gain_at_equal_bytes, rate_point
from pfnr_train.comparison.video_codecs import CODECS, EncoderSetting, codec_curve
from pfnr_train.evaluation.library import Frames, SessionResult
from pfnr_train.report.files import write_csv
from pfnr_train.report.page import Page
from pfnr_train.report.rate_chart import rate_curves

OURS = "pfnr"
SHOWN = tuple(codec for codec in CODECS if codec.preset == "medium")


@dataclass
class CodecRates:
    """Codes the source of each coded session with x264 and x265 while sessions are evaluated.

    sizes: bytes of each coded session's packed file, by index; other sessions are passed over.
    threads: that an encoder may use. More than one may change its bytes a little.
    curves: by session's name, then by method, its points.
    """

    sizes: Mapping[int, int]
    threads: int = 1
    curves: dict[str, dict[str, list[RatePoint]]] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set)

    def add(self, result: SessionResult, decoded: Frames, source: Frames) -> None:
        """Measure one session, and code its source frames, uint8 [N, H, W, 3]."""
        if result.index not in self.sizes:
            return
        name = result.record.video.name
        size = self.sizes[result.index]
        panel = {OURS: [rate_point("packed file", size, decoded, source, similarity=False)]}
        say(f"coding {name} with x264 and x265")
        for codec in SHOWN:
            if (points := self._curve(codec, result, source)) is not None:
                panel[codec.name] = points
        self.curves[name] = panel

    def _curve(self, codec: EncoderSetting, result: SessionResult, source: Frames) -> list[RatePoint] | None:
        try:
            points = codec_curve(codec, source, result.record.video.fps, threads=self.threads, similarity=False)
        except UnknownCodecError:
            if codec.encoder not in self._missing:
                say(f"no curve of {codec.encoder}: this build of PyAV lacks it")
            self._missing.add(codec.encoder)
            return None
        return [replace(point, seconds=None) for point in points]  # a report's bytes do not depend on the clock

    def gains(self) -> dict[str, dict[str, float | None]]:
        """By session, then by codec: dB above its curve at equal bytes; None outside the curve's rates."""
        return {
            name: {
                method: gain_at_equal_bytes(points, panel[OURS][0])
                for method, points in panel.items()
                if method != OURS
            }
            for name, panel in self.curves.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            name: {method: [point.to_json() for point in points] for method, points in panel.items()}
            for name, panel in self.curves.items()
        }

    def write_csv(self, path: Path) -> None:
        """One row per point. Raises OSError."""
        write_csv(
            path,
            ("name", "method", "setting", "bytes", "bpp", "psnr", "psnr_y"),
            (
                (name, method, p.setting, p.size, p.bpp, p.psnr, p.psnr_y)
                for name, panel in self.curves.items()
                for method, points in panel.items()
                for p in points
            ),
        )

    def show(self, page: Page) -> None:
        """Add the curves and a table of gains at equal bytes to a page."""
        page.section(
            "Compared with video codecs",
            "The packed file of each coded session, every byte of it counted, and the raw streams of x264 and "
            "x265 (preset medium) of the same frames. In 4:2:0, as video is usually stored, halved chroma alone "
            "costs PSNR of RGB; 4:4:4 keeps it. Up and to the left is better. The table has the PSNR gained on "
            "each codec at equal bytes, and a dash where its curve does not reach these bytes.",
        )
        page.picture(rate_curves(self.curves), "image/svg+xml", "PSNR against bits per pixel, with x264 and x265")
        gains = self.gains()
        methods = list(dict.fromkeys(method for row in gains.values() for method in row))
        rows = []
        for name, row in gains.items():
            (point,) = self.curves[name][OURS]
            shown = ["-" if (gain := row.get(m)) is None else f"{gain:+.2f} dB" for m in methods]
            rows.append([name, f"{point.size / 1e3:.1f} kB", f"{point.bpp:.3f}", f"{point.psnr:.2f} dB", *shown])
        page.table(["name", "packed file", "bits/pixel", "PSNR", *methods], rows)
