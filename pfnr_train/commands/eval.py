"""`pfnr-train eval`: decode every session again and compare with its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.system.messages import say
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.commands.results import results_console
from pfnr_train.evaluation.library import Frames, SessionResult, evaluate_library, summarise
from pfnr_train.evaluation.sources import parse_overrides
from pfnr_train.extras import needs_extra
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.machine.threads import set_threads


@reports_errors
def evaluate(
    library: LibraryOption,
    clip: Annotated[
        list[str] | None,
        typer.Option(help="Current location of a session's clip, as SESSION=PATH; may be repeated."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.html, report.json and CSV files into this folder.")
    ] = None,
    stages: Annotated[
        bool, typer.Option(help="For the report, also decode each session at every later stage.")
    ] = True,
    codecs: Annotated[
        bool, typer.Option(help="For the report, code the sources of coded sessions with x264 and x265 too.")
    ] = True,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    json: JsonOption = False,
) -> None:
    """Decode every session again; print PSNR, MS-SSIM and backward transfer against the source clips.

    Everything is measured again; only the PSNR when trained, which backward transfer subtracts, is read from the
    library.
    """
    if report is not None:
        with needs_extra("--report", "report"):
            import matplotlib  # noqa: F401 - found missing before an hour of decoding, not after
            import scipy  # noqa: F401
    set_threads(threads)
    opened = read_library(library)
    overrides = parse_overrides(opened, clip or [])
    if report is None:
        results = evaluate_library(opened, library, overrides)
    else:
        results = _report(opened, library, overrides, report, stages, codecs)
    for result in results:
        if result.problem is not None:
            say(f"session {result.index} ({result.record.video.name}) not compared: {result.problem}")
    rows, summary = [result.to_json() for result in results], summarise(results)
    if json:
        print_json({"library": str(library), "sessions": rows} | summary)
    else:
        _print_table(rows, summary)
    if rows and all(row["psnr"] is None for row in rows):
        raise PfnrError("no session could be compared; give the clips' locations with --clip SESSION=PATH")


def _report(
    opened: Library, library: Path, overrides: dict[int, Path], folder: Path, stages: bool, codecs: bool
) -> list[SessionResult]:
    from pfnr_train.report.codec_rates import CodecRates
    from pfnr_train.report.library_report import LibraryReport, Strips
    from pfnr_train.report.sizes import artifact_bytes, packed_bytes

    if not opened.sessions:
        raise PfnrError(f"{library} has no sessions to report on; train one with `pfnr-train add`")
    strips, count = Strips(), len(opened.sessions)
    coded = [k for k, session in enumerate(opened.sessions) if session.values.kind == CodedValues.kind]
    packed = packed_bytes(library, coded) if codecs else {}
    if isinstance(packed, str):
        say(f"no comparison with video codecs in the report: {packed}")
        packed = {}
    rates = CodecRates(packed)

    def on_session(result: SessionResult, decoded: Frames, source: Frames) -> None:
        say(f"decoded session {result.index + 1} of {count}: {result.record.video.name}")
        strips.add(result, decoded, source)
        rates.add(result, decoded, source)

    results = evaluate_library(opened, library, overrides, stages, on_session)
    artifacts = artifact_bytes(library, count)
    if isinstance(artifacts, str):
        say(f"no artifacts in the report: {artifacts}")
    for path in LibraryReport(library, opened, results, artifacts, rates).write(folder, strips)[:1]:
        say(f"written: {path}")
    return results


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
