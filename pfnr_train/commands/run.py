"""`pfnr-train run`: train a sequence of videos into a library, or continue a library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import UsageError
from pfnr_train.commands.options import JobsOption, JsonOption, RayOption, SaveEveryOption, TensorBoardOption
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
from pfnr_train.commands.sessions_table import SessionsTable
from pfnr_train.commands.watch import TerminalProgress
from pfnr_train.executors.choose import choose_executor
from pfnr_train.machine.execution import Execution
from pfnr_train.machine.ranks import ALONE, join_ranks
from pfnr_train.machine.threads import choose_device, set_threads
from pfnr_train.parsing import parse_duration
from pfnr_train.run.resumable import hold_library
from pfnr_train.run.state_keeper import Saving
from pfnr_train.run.tensorboard import require_tensorboard
from pfnr_train.sequence.clips import data_folder, describe_differences, find_clips
from pfnr_train.sequence.parallel import FailedSessionsError, ParallelRun
from pfnr_train.sequence.run import SequenceRun


@reports_errors
def run(
    sequence: SequenceArgument,
    data: DataOption = None,
    library: Annotated[
        Path | None,
        typer.Option("--library", "-l", help="The library file.", show_default="NAME.pfnr", readable=False),
    ] = None,
    only: OnlyOption = None,
    recipe: SequenceRecipeOption = None,
    change: SetOption = None,
    epochs: EpochsOption = None,
    density: DensityOption = None,
    frames: FramesOption = None,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    jobs: JobsOption = None,
    ray: RayOption = None,
    gpus: Annotated[float, typer.Option(help="With --ray: part of a GPU for each session, such as 0.5.")] = 0.0,
    save_every: SaveEveryOption = "5m",
    discard: Annotated[bool, typer.Option("--discard", help="Discard an interrupted training.")] = False,
    tensorboard: TensorBoardOption = None,
    json: JsonOption = False,
) -> None:
    """Train every video of SEQUENCE into one library, in order; results go into a JSON file next to it.

    Continues at the first video that the library lacks, and within it where training was interrupted; a library
    that is not the beginning of this sequence is refused. With --jobs or --ray, sessions that own their values are
    trained side by side, each with --threads threads, 1 unless given, and the library has the same bytes.
    """
    chosen = chosen_sequence(sequence, only, epochs, density, frames, seed, recipe, change)
    path = library or Path(f"{chosen.name}.pfnr")
    if tensorboard is not None:
        require_tensorboard()
    set_threads(threads)
    saving = Saving(parse_duration(save_every), resume=True, discard=discard)
    found = find_clips(chosen, data_folder(data))
    describe_differences(chosen, found)
    if jobs is not None or ray is not None:
        if tensorboard is not None:
            raise UsageError("--tensorboard shows one session at a time; leave out --jobs and --ray")
        side_by_side = _SideBySide(jobs, ray, gpus, threads or 1, "cpu" if ray and not gpus else device)
        with hold_library(path, ALONE):
            side_by_side.train(SequenceRun(chosen, found, path), saving, json)
        return
    with join_ranks(choose_device(device)) as ranks, hold_library(path, ranks):
        trained = SequenceRun(chosen, found, path, Execution(ranks.device, ranks), saving, tensorboard)
        with TerminalProgress() as progress:
            trained.train(progress)
        if ranks.leads:
            _print_results(trained, json)


@dataclass(frozen=True)
class _SideBySide:
    """How sessions are trained side by side, as the options say."""

    jobs: int | None
    ray: str | None
    gpus: float
    threads: int
    device: str

    def train(self, run: SequenceRun, saving: Saving, json: bool) -> None:
        """Train what is missing and print the results; as JSON also where some sessions failed."""
        failure: FailedSessionsError | None = None
        with choose_executor(self.jobs, self.ray) as executor, SessionsTable() as table:
            try:
                ParallelRun(
                    run,
                    executor,
                    self.threads,
                    self.gpus,
                    self.device,
                    saving.every,
                    saving.discard,
                    table.show,
                ).train()
            except FailedSessionsError as error:
                failure = error
        if failure is None or json:
            _print_results(run, json)
        if failure is not None:
            raise failure


def _print_results(run: SequenceRun, json: bool) -> None:
    if json:
        print_json(run.results() | {"results": str(run.results_path)})
    else:
        _print_table(run)


def _print_table(run: SequenceRun) -> None:
    results = run.results()
    table = Table("session", "name", "frames", "PSNR", "MS-SSIM", "training")
    for row in results["sessions"]:
        table.add_row(
            str(row["session"]),
            row["name"],
            str(row["frames"]),
            f"{row['psnr']:.2f} dB",
            "-" if row["ms_ssim"] is None else f"{row['ms_ssim']:.4f}",
            "-" if row["seconds"] is None else f"{row['seconds']:.0f} s",
        )
    console = results_console()
    console.print(table)
    size = results["library_bytes"] / 1e6
    console.print(f"mean PSNR {results['mean_psnr']:.2f} dB, {run.path} {size:.2f} MB, {run.results_path}")
