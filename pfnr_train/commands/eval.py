"""`pfnr-train eval`: decode every session again and compare with its source."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from pfnr_runtime.console import print_json, reports_errors, say
from pfnr_runtime.errors import PfnrError
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.commands.results import results_console
from pfnr_train.decode import decode_all
from pfnr_train.library_file import read_library
from pfnr_train.quality import measure_quality
from pfnr_train.sources import parse_overrides, source_frames
from pfnr_train.threads import set_threads


@reports_errors
def evaluate(
    library: LibraryOption,
    clip: Annotated[
        list[str] | None,
        typer.Option(help="Where a session's clip is now, as SESSION=PATH; may be given again."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    json: JsonOption = False,
) -> None:
    """Decode every session again; print PSNR, MS-SSIM and backward transfer against the source clips.

    Nothing printed is remembered but the PSNR when trained, which backward transfer subtracts.
    """
    set_threads(threads)
    opened = read_library(library)
    overrides = parse_overrides(opened, clip or [])
    rows: list[dict[str, Any]] = []
    for index, session in enumerate(opened.sessions):
        record = session.record
        row: dict[str, Any] = {"session": index, "name": record.video.name, "psnr_when_trained": record.psnr}
        weights = opened.session_weights(index)
        try:
            source = source_frames(record, library, overrides.get(index))
        except PfnrError as error:
            say(f"session {index} ({record.video.name}) not compared: {error}")
            row |= {"psnr": None, "ms_ssim": None, "change": None, "problem": str(error)}
        else:
            quality = measure_quality(decode_all(weights), source)
            change = None if record.psnr is None else quality.psnr - record.psnr
            row |= {"psnr": quality.psnr, "ms_ssim": quality.ms_ssim, "change": change}
        rows.append(row)
    summary = _summarise(rows)
    if json:
        print_json({"library": str(library), "sessions": rows} | summary)
    else:
        _print_table(rows, summary)
    if rows and all(row["psnr"] is None for row in rows):
        raise PfnrError("no session could be compared; say where the clips are with --clip SESSION=PATH")


def _summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def mean(key: str, of: list[dict[str, Any]]) -> float | None:
        values = [row[key] for row in of if row[key] is not None]
        return sum(values) / len(values) if values else None

    # Backward transfer is over the sessions that had a later one (Lopez-Paz & Ranzato 2017).
    return {"mean_psnr": mean("psnr", rows), "backward_transfer": mean("change", rows[:-1])}


def _print_table(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    table = Table("session", "name", "PSNR now", "when trained", "change", "MS-SSIM")

    def show(value: float | None, form: str, unit: str = "") -> str:
        return "-" if value is None else f"{value:{form}}{unit}"

    for row in rows:
        table.add_row(
            str(row["session"]),
            row["name"],
            show(row["psnr"], ".2f", " dB"),
            show(row["psnr_when_trained"], ".2f", " dB"),
            show(row["change"], "+.4f", " dB"),
            show(row["ms_ssim"], ".4f"),
        )
    console = results_console()
    console.print(table)
    console.print(
        f"mean PSNR {show(summary['mean_psnr'], '.2f', ' dB')}, "
        f"backward transfer {show(summary['backward_transfer'], '+.4f', ' dB')}"
    )
