"""`pfnr-train compare`: the methods of the paper's comparison on one sequence, as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_train.commands.options import JsonOption
from pfnr_train.commands.results import results_console
from pfnr_train.commands.sequence_options import (
    DataOption,
    DensityOption,
    EpochsOption,
    FramesOption,
    OnlyOption,
    SeedOption,
    SequenceArgument,
    SequenceRecipeOption,
    SetOption,
    chosen_sequence,
)
from pfnr_train.comparison.baselines import METHODS, Setting, split_method
from pfnr_train.comparison.compare import NamedClip, compare
from pfnr_train.extras import needs_extra
from pfnr_train.machine.threads import choose_device, set_threads
from pfnr_train.sequence.clips import data_folder, describe_differences, find_clips


@reports_errors
def compare_methods(
    sequence: SequenceArgument,
    data: DataOption = None,
    methods: Annotated[
        str, typer.Option(help=f"Comma-separated, of {', '.join(METHODS)}; @0.1 sets a density.")
    ] = ",".join(METHODS),
    out: Annotated[
        Path | None, typer.Option(help="Folder for one JSON file per method.", show_default="out/compare/NAME")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.html, report.json and table.csv into this folder.")
    ] = None,
    only: OnlyOption = None,
    recipe: SequenceRecipeOption = None,
    change: SetOption = None,
    epochs: EpochsOption = None,
    density: DensityOption = None,
    frames: FramesOption = None,
    memory: Annotated[int, typer.Option(help="Total frames of old videos that icarl keeps.")] = 16,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    json: JsonOption = False,
) -> None:
    """Learn SEQUENCE by every method, with one network and one recipe; print one table.

    Methods already run with the same settings are not run again.
    """
    wanted = [text.strip() for text in methods.split(",") if text.strip()]
    if not wanted or len(set(wanted)) < len(wanted):
        raise UsageError(f"--methods {methods!r} must name at least one method, and each once")
    for text in wanted:
        split_method(text)
    if not 0 <= memory <= 1_000_000:
        raise UsageError(f"--memory {memory} is outside 0 to 1000000")
    if report is not None:
        with needs_extra("--report", "report"):
            from pfnr_train.report.comparison_report import write_comparison
    chosen = chosen_sequence(sequence, only, epochs, density, frames, seed, recipe, change)
    set_threads(threads)
    found = find_clips(chosen, data_folder(data))
    describe_differences(chosen, found)
    videos = [NamedClip(each.video.name, each.read(chosen)) for each in found]
    for video in videos:
        for note in video.clip.info.notes:
            say(f"{video.name}: {note}")
    setting = Setting(chosen.config, chosen.recipe, len(videos), choose_device(device), memory)
    results = compare(wanted, setting, videos, out or Path("out/compare") / chosen.name)
    if report is not None:
        written = write_comparison(report, chosen.name, results, COLUMNS, table_rows(results))
        say(f"written: {written[0]}")
    if json:
        print_json({"sequence": chosen.name, "methods": results})
    else:
        _print_table(results)


def table_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """One row per method, as printed and quoted in the documentation."""
    rows = []
    for result in results:
        similarity, transfer = result["mean_ms_ssim"], result["backward_transfer"]
        rows.append(
            [
                result["method"],
                f"{result['mean_psnr']:.2f}",
                "-" if similarity is None else f"{similarity:.4f}",
                "-" if transfer is None else f"{transfer:+.2f}",
                f"{result['parameters'] / 1e6:.2f} M",
                f"{sum(result['bytes'].values()) / 1e6:.2f} MB",
                f"{result['bits_per_pixel']:.2f}",
                f"{result['macs_per_frame'] / 1e9:.2f} G",
                f"{sum(result['seconds']):.0f} s",
            ]
        )
    return rows


COLUMNS = (
    "method",
    "PSNR, dB",
    "MS-SSIM",
    "backward transfer, dB",
    "parameters",
    "bytes",
    "bits per pixel",
    "MACs per frame",
    "training",
)


def _print_table(results: list[dict[str, Any]]) -> None:
    table = Table(*COLUMNS)
    for row in table_rows(results):
        table.add_row(*row)
    results_console().print(table)
