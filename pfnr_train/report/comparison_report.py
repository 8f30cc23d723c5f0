"""The report of a comparison: its table, what each method forgets, and quality against bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pfnr_train.report import charts
from pfnr_train.report.files import write_csv, write_json, write_text
from pfnr_train.report.page import Page

SVG = "image/svg+xml"


def write_comparison(
    folder: Path,
    name: str,
    results: Sequence[dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> list[Path]:
    """Write report.html, report.json and table.csv into `folder`; their paths. Raises OSError.

    results: of `pfnr_train.comparison.compare`; columns and rows: its table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "report.json", {"sequence": name, "methods": list(results)})
    write_csv(folder / "table.csv", columns, rows)
    first = results[0]
    recipe = first["settings"]["recipe"]
    frames = [video[1] for video in first["settings"]["videos"]]
    shown = f"{frames[0]}" if len(set(frames)) == 1 else f"{min(frames)} to {max(frames)}"
    page = Page(
        f"{name}: {len(results)} methods",
        f"{len(frames)} videos of {shown} frames, {recipe['epochs']} epochs, seed {recipe['seed']}, one recipe "
        "for all. Every figure comes from decoding; bytes are what must be kept to decode every video and to "
        "continue learning.",
    )
    page.section("Table")
    page.table(columns, rows)
    page.section(
        "Forgetting",
        "PSNR of each video (row) as decoded after each video was learnt (column). mtl learns all at once.",
    )
    matrices = {
        r["method"]: np.array([[np.nan if v is None else v for v in row] for row in r["matrix"]], float)
        for r in results
    }
    page.picture(charts.heat_maps(matrices, first["videos"]), SVG, "PSNR of video i after video j, by method")
    page.section("Quality and bytes", "Mean PSNR after the last video against all bytes kept, a point a method.")
    points = {r["method"]: [(r["method"], r["bits_per_pixel"], r["mean_psnr"])] for r in results}
    page.picture(charts.rate_distortion(points), SVG, "Mean PSNR against bits per pixel")
    page.section("Mean PSNR after the last video")
    page.picture(charts.bars({r["method"]: r["mean_psnr"] for r in results}, "dB"), SVG, "Mean PSNR by method")
    write_text(folder / "report.html", page.render())
    return [folder / file for file in ("report.html", "report.json", "table.csv")]
