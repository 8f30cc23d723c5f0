"""`pfnr-train add`: train a clip into a library as its next session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pfnr_runtime.clips import probe, read_clip
from pfnr_runtime.console import print_json, reports_errors, say
from pfnr_runtime.frame_range import parse_frame_range
from pfnr_train.add_session import add_session, free_name, relative_source
from pfnr_train.commands.model_options import ModelOptions, model_config
from pfnr_train.commands.options import JsonOption, LibraryOption, parse_size
from pfnr_train.config import PRESETS
from pfnr_train.initialise import new_library
from pfnr_train.library import Library
from pfnr_train.library_file import lock_library, read_library, write_library
from pfnr_train.progress import TrainingProgress
from pfnr_train.recipe import Recipe
from pfnr_train.threads import choose_device, set_threads

_DEFAULT = Recipe()


@reports_errors
def add(
    clip: Annotated[Path, typer.Argument(help="A video file or a folder of images.", show_default=False)],
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
    epochs: Annotated[int, typer.Option(help="Passes over the frames.")] = _DEFAULT.epochs,
    density: Annotated[float, typer.Option(help="Fraction of each tensor to use.")] = _DEFAULT.density,
    batch: Annotated[int, typer.Option(help="Frames a step.")] = _DEFAULT.batch,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _DEFAULT.learning_rate,
    seed: Annotated[int, typer.Option(help="Seed of weights, scores and order.")] = _DEFAULT.seed,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    json: JsonOption = False,
) -> None:
    """Train CLIP into the library as its next session; makes the library when there is none."""
    recipe = Recipe(epochs, batch, density, learning_rate, seed=seed)
    model = ModelOptions(preset, fourier, fourier_block, fourier_channels, placement, bias)
    wanted = None if size is None else parse_size(size)
    span = None if frames is None else parse_frame_range(frames)
    set_threads(threads)
    device = choose_device(device)
    with lock_library(library):
        before = read_library(library) if library.exists() else None
        source = probe(clip)
        config = model_config(model, before, wanted, (source.width, source.height))
        taken = read_clip(clip, span, config.size)
        for line in (taken.fit.sentence(), *taken.info.notes):
            say(f"{taken.info.path.name}: {line}")
        start = before or new_library(config, seed)
        session = free_name(start, name, taken)
        with TrainingProgress(session, recipe, len(taken.frames)) as progress:
            grown, quality = add_session(
                start, taken, session, relative_source(taken, library), recipe, progress.on_step, device
            )
        write_library(grown, library)
    _report(grown, quality.psnr, quality.ms_ssim, library, json)


def _report(grown: Library, psnr: float, ms_ssim: float | None, path: Path, json: bool) -> None:
    index = len(grown.sessions) - 1
    video = grown.sessions[index].record.video
    result: dict[str, Any] = {
        "library": str(path),
        "session": index,
        "name": video.name,
        "frames": video.frames,
        "size": [video.width, video.height],
        "psnr": psnr,
        "ms_ssim": ms_ssim,
        "library_bytes": path.stat().st_size,
    }
    if json:
        print_json(result)
        return
    similarity = "" if ms_ssim is None else f", MS-SSIM {ms_ssim:.4f}"
    print(f"session {index} ({video.name}): {video.frames} frames, PSNR {psnr:.2f} dB{similarity} -> {path}")
