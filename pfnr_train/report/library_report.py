"""The report of one library: quality, forgetting, size and free capacity, all measured again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_train.evaluation.library import Frames, SessionResult, summarise
from pfnr_train.library.library import Library
from pfnr_train.report import charts
from pfnr_train.report.codec_rates import CodecRates
from pfnr_train.report.files import write_csv, write_json, write_text
from pfnr_train.report.page import Page
from pfnr_train.report.sizes import LibrarySize, library_size
from pfnr_train.report.strips import AMPLIFIED, strip_jpeg

SVG = "image/svg+xml"


@dataclass
class Strips:
    """Collects strips while sessions are evaluated: each session's worst and median frame."""

    pictures: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)

    def add(self, result: SessionResult, decoded: Frames, source: Frames) -> None:
        """Keep strips of one session."""
        assert result.quality is not None
        figures = result.quality.psnr_per_frame
        order = np.argsort(figures, kind="stable")
        chosen = {"median": int(order[len(order) // 2]), "worst": int(order[0])}
        self.pictures[result.index] = [
            (
                f"{result.record.video.name}, frame {k} ({which}): {figures[k]:.2f} dB. "
                f"Source, decoded, difference ×{AMPLIFIED}",
                strip_jpeg(source[k], decoded[k]),
            )
            for which, k in chosen.items()
        ]


@dataclass(frozen=True)
class LibraryReport:
    """The contents of a library's report.

    artifacts: bytes of each session's export, or why there are none.
    codecs: coded sessions compared with video codecs; None or empty where there is nothing to compare.
    """

    path: Path
    library: Library
    results: Sequence[SessionResult]
    artifacts: list[int] | str
    codecs: CodecRates | None = None

    @property
    def names(self) -> list[str]:
        """Of the sessions."""
        return [s.record.video.name for s in self.library.sessions]

    def matrix(self) -> NDArray[np.float64]:
        """PSNR of session i decoded from the library as of session j: float64 [n, n], NaN where not measured."""
        matrix = np.full((len(self.results), len(self.results)), np.nan)
        for result in self.results:
            matrix[result.index, len(self.results) - len(result.stages) :] = result.stages
        return matrix

    @cached_property
    def used(self) -> dict[str, list[float]]:
        """By tensor, and over all weights, the fraction that some session uses after each session."""
        counts: dict[str, list[int]] = {}
        for name, weight in self.library.weights.items():
            used = np.zeros(weight.shape, np.bool_)
            for session in self.library.sessions:
                used |= session.values.pool_masks(self.library.config).get(name, False)
                counts.setdefault(name, []).append(int(used.sum()))
        if not counts:
            return {}
        sizes = {name: weight.size for name, weight in self.library.weights.items()}
        whole = [sum(stage) / sum(sizes.values()) for stage in zip(*counts.values(), strict=True)]
        return {name: [c / sizes[name] for c in row] for name, row in counts.items()} | {"all weights": whole}

    @cached_property
    def sizes(self) -> list[LibrarySize]:
        """The size of the library's file after each session."""
        sessions = self.library.sessions
        return [library_size(replace(self.library, sessions=sessions[: k + 1])) for k in range(len(sessions))]

    def session_rows(self) -> list[dict[str, Any]]:
        """Everything known of each session, as plain JSON types."""
        rows = []
        for result, session in zip(self.results, self.library.sessions, strict=True):
            video, quality = result.record.video, result.quality
            size = session.values.sizes()
            row = result.to_json() | {
                "frames": video.frames,
                "size": [video.width, video.height],
                "density": result.record.density,
                "epochs": result.record.epochs,
                "values": session.values.kind,
                "value_bytes": size["values"],
                "mask_bytes": size["masks"],
                "head_bytes": size["head"],
                "table_bytes": size["table"],
                "artifact_bytes": None if isinstance(self.artifacts, str) else self.artifacts[result.index],
                "weights_sha256": result.record.weights_sha256,
                "psnr_per_frame": None if quality is None else list(quality.psnr_per_frame),
                "ms_ssim_per_frame": (
                    None
                    if quality is None or quality.ms_ssim_per_frame is None
                    else list(quality.ms_ssim_per_frame)
                ),
                "psnr_stages": list(result.stages),
            }
            rows.append(row)
        return rows

    def rates(self) -> dict[str, list[tuple[str, float, float]]]:
        """Points (session, bits per pixel, dB) by which bytes are counted."""
        last = self.sizes[-1]
        series: dict[str, list[tuple[str, float, float]]] = {}
        for result, session in zip(self.results, self.library.sessions, strict=True):
            if result.quality is None:
                continue
            video = result.record.video
            pixels = video.frames * video.width * video.height
            own = sum(session.values.sizes().values())
            shared = own + (last.weights + last.header) / len(self.results)
            counted = {"its own values, masks and head": own, "its share of the library's file": shared}
            if not isinstance(self.artifacts, str):
                counted["its exported artifact"] = self.artifacts[result.index]
            for kind, size in counted.items():
                series.setdefault(kind, []).append((video.name, 8 * size / pixels, result.quality.psnr))
        return series

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain JSON types."""
        matrix = self.matrix()
        return {
            "library": self.path.name,
            "config": self.library.config.to_json(),
            "macs_per_frame": self.library.config.macs(),
            "sessions": self.session_rows(),
            "matrix": [[float(v) if np.isfinite(v) else None for v in row] for row in matrix],
            "library_bytes": [asdict(size) | {"total": size.total} for size in self.sizes],
            "used": self.used,
            "artifacts": "exported" if not isinstance(self.artifacts, str) else self.artifacts,
            "codec_rates": {} if self.codecs is None else self.codecs.to_json(),
            "gain_db_at_equal_bytes": {} if self.codecs is None else self.codecs.gains(),
        } | summarise(list(self.results))

    def write(self, folder: Path, strips: Strips) -> list[Path]:
        """Write report.html, report.json and CSV files into `folder`; their paths. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "report.json", self.to_json())
        self._write_tables(folder)
        write_text(folder / "report.html", self._page(strips).render())
        names = ["report.html", "report.json", "sessions.csv", "frames.csv", "matrix.csv", "tensors.csv"]
        if self.codecs is not None and self.codecs.curves:
            self.codecs.write_csv(folder / "rates.csv")
            names.append("rates.csv")
        return [folder / name for name in names]

    def _write_tables(self, folder: Path) -> None:
        rows = self.session_rows()
        lists = ("size", "problem", "psnr_per_frame", "ms_ssim_per_frame", "psnr_stages")
        columns = [key for key in rows[0] if key not in lists]
        write_csv(folder / "sessions.csv", columns, ([row[c] for c in columns] for row in rows))
        write_csv(
            folder / "frames.csv",
            ("session", "name", "frame", "psnr", "ms_ssim"),
            (
                (r.index, r.record.video.name, k, figure, None if similar is None else similar[k])
                for r in self.results
                if r.quality is not None
                for similar in [r.quality.ms_ssim_per_frame]
                for k, figure in enumerate(r.quality.psnr_per_frame)
            ),
        )
        matrix = self.matrix()
        write_csv(
            folder / "matrix.csv",
            ("session decoded", *(f"after {name}" for name in self.names)),
            (
                (name, *(float(v) if np.isfinite(v) else None for v in row))
                for name, row in zip(self.names, matrix, strict=True)
            ),
        )
        write_csv(
            folder / "tensors.csv",
            ("tensor", *(f"used after {name}" for name in self.names)),
            ((tensor, *parts) for tensor, parts in self.used.items()),
        )

    def _page(self, strips: Strips) -> Page:
        summary, size = summarise(list(self.results)), self.sizes[-1]
        config = self.library.config
        mean = "not measured" if summary["mean_psnr"] is None else f"{summary['mean_psnr']:.2f} dB"
        page = Page(
            f"{self.path.name}: {len(self.results)} videos in one network",
            f"{config.size[0]}×{config.size[1]}, {self._weights() / 1e6:.2f} M "
            f"weights, {config.macs() / 1e9:.2g} GMAC per frame, {size.total / 1e6:.2f} MB. Mean PSNR {mean}. "
            "Every figure here comes from decoding every frame of every session again and comparing it with "
            "its source.",
        )
        page.section("Sessions")
        page.table(*self._session_table())
        self._forgetting(page)
        measured = [r for r in self.results if r.quality is not None]
        if measured:
            page.section("PSNR per frame", "The dashed line is the mean, which is the figure of the table.")
            curves = {r.record.video.name: r.quality.psnr_per_frame for r in measured if r.quality is not None}
            page.picture(charts.frame_curves(curves), SVG, "PSNR of every frame of every session")
        self._bytes(page)
        if self.library.shares:
            self._fullness(page)
        if strips.pictures:
            page.section(
                "Frames", "The median and the worst frame of each session. Strips are JPEG, figures are not."
            )
            for pictures in strips.pictures.values():
                for caption, data in pictures:
                    page.strip(data, caption)
        return page

    def _weights(self) -> int:
        return sum(math.prod(shape) for shape in self.library.config.tensor_shapes().values())

    def _fullness(self, page: Page) -> None:
        page.section(
            "How full the network is",
            "The part of each tensor that some session uses. Used weights are frozen; what is left is what later "
            "sessions can train, and every session may use what is frozen.",
        )
        page.picture(charts.fullness(self.used, self.names), SVG, "Used part of each tensor after each session")

    def _session_table(self) -> tuple[list[str], list[list[str]]]:
        columns = ["name", "frames", "PSNR", "when trained", "change", "MS-SSIM", "own bytes", "artifact"]

        def show(value: float | None, form: str, unit: str = "") -> str:
            return "-" if value is None else f"{value:{form}}{unit}"

        rows = []
        for row in self.session_rows():
            artifact = row["artifact_bytes"]
            rows.append(
                [
                    f"{row['session']} {row['name']}",
                    str(row["frames"]),
                    show(row["psnr"], ".2f", " dB"),
                    show(row["psnr_when_trained"], ".2f", " dB"),
                    show(row["change"], "+.4f", " dB"),
                    show(row["ms_ssim"], ".4f"),
                    show(sum(row[f"{part}_bytes"] for part in ("value", "mask", "head")) / 1e3, ".1f", " kB"),
                    show(None if artifact is None else artifact / 1e6, ".2f", " MB"),
                ]
            )
        return columns, rows

    def _forgetting(self, page: Page) -> None:
        matrix = self.matrix()
        if not np.isfinite(matrix).any():
            return
        later = [m - row[k] for k, row in enumerate(matrix) for m in row[k + 1 :] if np.isfinite(m)]
        worst = min(later, default=0.0)
        page.section(
            "Forgetting",
            "PSNR of each session decoded from the library as it was after each later one: its masks, and the "
            "weights that sessions up to then use. A row that keeps its figure was not forgotten. Largest loss of "
            f"any session at any later stage: {0.0 - worst:.4f} dB.",
        )
        page.picture(charts.heat_maps({"": matrix}, self.names), SVG, "PSNR of session i after session j")

    def _bytes(self, page: Page) -> None:
        rates = self.rates()
        if rates:
            text = (
                "Bits per pixel of each session, counted in three ways: the values, masks and head that only it "
                "needs; those and an equal part of the shared weights (the library file divided); and the "
                "ONNX file it exports to, which holds all of its weights as 32-bit floats."
            )
            if isinstance(self.artifacts, str):
                text += f" No artifacts: {self.artifacts}."
            page.section("Rate and distortion", text)
            page.picture(charts.rate_distortion(rates), SVG, "PSNR against bits per pixel")
        if self.codecs is not None and self.codecs.curves:
            self.codecs.show(page)
        sizes = self.sizes
        parts = {
            "shared weights": [s.weights for s in sizes],
            "own values": [s.values for s in sizes],
            "masks": [s.masks for s in sizes],
            "heads": [s.heads + s.tables for s in sizes],
            "header": [s.header for s in sizes],
        }
        page.section("The library's file", "Its bytes after each session.")
        page.picture(charts.library_growth(parts, self.names), SVG, "Bytes of the library after each session")
