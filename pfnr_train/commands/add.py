"""`pfnr-train add`: train a clip into a library as its next session."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.video.ranges import parse_frame_range
from pfnr_train.clips import probe, read_clip
from pfnr_train.commands.options import (
    JsonOption,
    LibraryOption,
    SaveEveryOption,
    TensorBoardOption,
)
from pfnr_train.commands.recipe_options import (
    BatchOption,
    DensityOption,
    EpochsOption,
    LearningRateOption,
    ParentOption,
    PlanOption,
    PrecisionOption,
    RateOption,
    RecipeOption,
    SeedOption,
    TargetBppOption,
    TargetSizeOption,
    choose_recipe,
    fitting_recipe,
)
from pfnr_train.commands.watch import TerminalProgress
from pfnr_train.library.file import read_library
from pfnr_train.library.heritage import heritage
from pfnr_train.machine.execution import Execution
from pfnr_train.machine.ranks import join_ranks
from pfnr_train.machine.threads import choose_device, set_threads
from pfnr_train.model.config import PRESETS
from pfnr_train.model.options import ModelOptions, model_config
from pfnr_train.parsing import parse_bytes, parse_duration, parse_size
from pfnr_train.run.resumable import hold_library
from pfnr_train.run.session_job import Budget, Outcome, SessionJob
from pfnr_train.run.state_keeper import Saving
from pfnr_train.run.tensorboard import require_tensorboard
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import DEFAULT, SHARED

NO_GAIN = ["the parent saved nothing: no tensor takes fewer bytes as a difference from it"]


@reports_errors
def add(
    clip: Annotated[
        Path, typer.Argument(help="A video file or a folder of images.", show_default=False, readable=False)
    ],
    library: LibraryOption,
    name: Annotated[str | None, typer.Option(help="Name of the session.", show_default="the clip's")] = None,
    frames: Annotated[str | None, typer.Option(help="Half-open range A:B of frames to take.")] = None,
    size: Annotated[str | None, typer.Option(help="Frame size WxH of a new library.")] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Network of a new library: one of {', '.join(PRESETS)}.")
    ] = None,
    fourier: Annotated[
        str | None, typer.Option(help="Fourier block of a new library: replace, add, concat or none.")
    ] = None,
    fourier_block: Annotated[int | None, typer.Option(help="Index of the block that has it.")] = None,
    fourier_channels: Annotated[int | None, typer.Option(help="Its channels with concat.")] = None,
    placement: Annotated[str | None, typer.Option(help="Its band placement: centered or reference.")] = None,
    bias: Annotated[bool | None, typer.Option("--bias/--no-bias", help="Biases in a new library.")] = None,
    recipe: RecipeOption = None,
    rate: RateOption = None,
    target_size: TargetSizeOption = None,
    target_bpp: TargetBppOption = None,
    parent: ParentOption = None,
    epochs: EpochsOption = None,
    time_budget: Annotated[
        str | None, typer.Option(help="Choose the epochs to finish within this time, such as 10m.")
    ] = None,
    density: DensityOption = None,
    plan: PlanOption = None,
    batch: BatchOption = None,
    learning_rate: LearningRateOption = None,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    precision: PrecisionOption = None,
    save_every: SaveEveryOption = "5m",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted training.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Discard an interrupted training.")] = False,
    tensorboard: TensorBoardOption = None,
    stream: Annotated[
        int | None, typer.Option(help="Index of the video stream, as ffprobe shows it.", show_default="the best")
    ] = None,
    tolerate_damage: Annotated[
        bool, typer.Option("--tolerate-damage", help="Hold whole frames in place of damaged ones.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train CLIP into the library as its next session; creates the library if there is none."""
    started = time.monotonic()
    budget = None if time_budget is None else Budget(parse_duration(time_budget), started)
    if budget is not None and epochs is not None:
        raise UsageError("--epochs and --time-budget both set how long to train; give one of them")
    changes = {
        "rate": rate,
        "target_bytes": None if target_size is None else parse_bytes(target_size),
        "target_bpp": target_bpp,
        "parent": parent,
        "epochs": epochs,
        "density": density,
        "planned": plan,
        "batch": batch,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
    }
    choose_recipe(recipe or DEFAULT, **changes)  # reports mistakes before anything is read
    model = ModelOptions(preset, fourier, fourier_block, fourier_channels, placement, bias)
    wanted = None if size is None else parse_size(size)
    span = None if frames is None else parse_frame_range(frames)
    saving = Saving(parse_duration(save_every), resume, discard)
    if tensorboard is not None:
        require_tensorboard()
    set_threads(threads)
    with join_ranks(choose_device(device)) as ranks, hold_library(library, ranks):
        before = read_library(library) if library.exists() else None
        if before is not None and before.rewritten:
            before.check_digests()  # what is damaged would be written again, and its copy overwritten
        chosen = choose_recipe(fitting_recipe(recipe, before), **changes)
        source = probe(clip, stream=stream)
        network, shown = before.config if before else None, (source.width, source.height)
        config = model_config(model, network, wanted, shown, chosen.values)
        taken = read_clip(clip, span, config.size, stream=stream, tolerate_damage=tolerate_damage)
        for line in (taken.fit.sentence(), *taken.info.notes):
            say(f"{taken.info.path.name}: {line}")
        with TerminalProgress() as progress:
            job = SessionJob(
                taken,
                name,
                chosen,
                Execution(ranks.device, ranks),
                saving,
                budget,
                repeated=resume,
                progress=progress,
                tensorboard=tensorboard,
            )
            outcome = job.run(before or new_library(config, seed), library)
        if ranks.leads:
            _report(outcome, library, parent, json)


def _report(outcome: Outcome, path: Path, parent: str | None, json: bool) -> None:
    index = outcome.session
    record = outcome.library.sessions[index].record
    video, similarity = record.video, "" if record.ms_ssim is None else f", MS-SSIM {record.ms_ssim:.4f}"
    result: dict[str, Any] = {
        "library": str(path),
        "session": index,
        "name": video.name,
        "frames": video.frames,
        "size": [video.width, video.height],
        "values": outcome.library.sessions[index].values.kind,
        "session_bytes": sum(outcome.library.sessions[index].values.sizes().values()),
        "psnr": record.psnr,
        "ms_ssim": record.ms_ssim,
        "library_bytes": path.stat().st_size,
    }
    if outcome.target is not None:
        result |= {"target_bytes": outcome.target.wanted, "packed_bytes": outcome.target.reached}
    if parent is not None:
        saved = heritage(outcome.library, index)
        result["parent"] = None if saved is None else saved.to_json()
        for line in NO_GAIN if saved is None else saved.sentences():
            say(line)
    if json:
        print_json(result)
        return
    figures = f"PSNR {record.psnr:.2f} dB{similarity}"
    size = "" if result["values"] == SHARED else f", {result['session_bytes'] / 1e3:.1f} KB"
    print(f"session {index} ({video.name}): {video.frames} frames, {figures}{size} -> {path}")
