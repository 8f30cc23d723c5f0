"""Adding one session: a clip, a recipe and a library in, a library with one more video out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import LibraryError, UsageError
from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.clips import Clip
from pfnr_train.evaluation.quality import Quality, measure_quality
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import MOST_GENERATIONS, Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import KINDS
from pfnr_train.machine.execution import DEFAULT, Execution
from pfnr_train.model.canvas import PATH
from pfnr_train.model.decode import decode_all
from pfnr_train.run.failures import explains_failures
from pfnr_train.session.initialise import new_library, new_weights
from pfnr_train.session.motion import path_weights
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining, StepResult, Trained, session_generator

OWN_WEIGHTS = 1 << 32  # added to a session's index for the random numbers of first values

OnStep = Callable[[SessionTraining, StepResult], None]


def describe_clip(clip: Clip, name: str) -> VideoRecord:
    """The record of the video that a session trained on `clip` decodes; a UsageError if no name can be `name`."""
    frames, height, width, _ = clip.frames.shape
    try:
        return VideoRecord(
            name,
            frames,
            width,
            height,
            clip.fps,
            clip.sample_aspect,
            clip.info.colour,
            _place(clip).name,
            clip.start,
            times=clip.times,
        )
    except ValueError as error:
        raise UsageError(f"{clip.info.path}: {error}") from None


def free_name(library: Library, wanted: str | None, clip: Clip) -> str:
    """The name of a new session: as wanted, or the clip's own; a UsageError if it is taken."""
    if wanted is not None:
        if wanted.isdecimal() or library.number_of(wanted) is not None:
            raise UsageError(f"session name {wanted!r} is taken or a number; `pfnr-train info` lists the names")
        return wanted
    stem = _place(clip).stem[:100] or "video"
    stem = "".join(c if c.isprintable() else "_" for c in stem)
    stem = f"clip-{stem}" if stem.isdecimal() else stem
    numbered = (stem if i == 1 else f"{stem}-{i}" for i in range(1, len(library.sessions) + 2))
    return next(name for name in numbered if library.number_of(name) is None)


def relative_source(clip: Clip, library_path: Path) -> str:
    """The clip's path as a library remembers it: from the library's folder, with forward slashes."""
    return Path(os.path.relpath(_place(clip), library_path.resolve().parent)).as_posix()


def _place(clip: Clip) -> Path:
    """Where the clip lies, under the name it was given: a link is not followed, its folders are."""
    path = clip.info.path
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def add_session(
    library: Library,
    clip: Clip,
    name: str,
    source_path: str,
    recipe: Recipe,
    on_step: OnStep,
    execution: Execution = DEFAULT,
) -> tuple[Library, Quality]:
    """Train `clip` (frames of the library's size) as the next session, in memory; see `SessionJob` for files.

    Returns the new library and the quality of the session's frames, decoded from what the library now holds.
    Raises TrainingError if the loss stops being a number; the library given is never changed.
    """
    record = new_record(library, clip, name, source_path, recipe)
    with explains_failures(recipe.batch, execution.device):
        training = new_training(library, clip, recipe, execution)
        for result in training.run():
            on_step(training, result)
        trained = training.finish()
    return measured(with_trained(library, record, trained), clip)


def new_record(library: Library, clip: Clip, name: str, source_path: str, recipe: Recipe) -> SessionRecord:
    """The record of the next session, without its quality and digest."""
    return SessionRecord(
        video=describe_clip(clip, name),
        scalar=session_scalar(len(library.sessions)),
        density=recipe.density,
        seed=recipe.seed,
        epochs=recipe.epochs,
        psnr=None,
        ms_ssim=None,
        source_path=source_path,
        source_sha256=clip.sha256,
        weights_sha256="",
    )


def with_trained(library: Library, record: SessionRecord, trained: Trained) -> Library:
    """The library with what a training left as its next session, whose record lacks quality and digest."""
    return library.with_session(trained.weights, Session(record, trained.values))


def new_training(library: Library, clip: Clip, recipe: Recipe, execution: Execution) -> SessionTraining:
    """The training of `clip` as the next session, at its start: the one place that makes a `SessionTraining`."""
    config, index = library.config, len(library.sessions)
    table = KINDS[recipe.values].session_table(config, len(clip.frames), session_scalar(index))
    weights, used = library.weights, library.used()
    if not KINDS[recipe.values].uses_pool:
        weights, used = new_weights(config, session_generator(recipe.seed, OWN_WEIGHTS + index)), {}
        if config.canvas is not None:
            block = config.blocks()[config.canvas.panned_block]
            weights[PATH] = path_weights(clip.frames, table, (block.rows, block.columns), config.canvas.margin)
    elif not weights:  # so far, every session owns its values
        weights = new_library(config, recipe.seed).weights
    parent = _parent(library, recipe.parent) if recipe.parent else None
    return SessionTraining(config, weights, used, clip.frames, table, recipe, index, execution, parent)


def _parent(library: Library, which: str) -> tuple[int, dict[str, NDArray[np.float32]]]:
    """Index and weights of the session that the next one may be a difference from."""
    index = library.find(which)
    session = library.sessions[index]
    name = session.record.video.name
    if session.values.uses_pool:
        raise LibraryError(f"session {index} ({name}) has shared values, and a parent needs values of its own")
    if library.generations(index) >= MOST_GENERATIONS:
        raise LibraryError(
            f"session {index} ({name}) has {MOST_GENERATIONS - 1} parents already; name one of them"
        )
    return index, {n: w.numpy() for n, w in library.session_weights(index).materialised().items()}


def measured(library: Library, clip: Clip) -> tuple[Library, Quality]:
    """The library with the quality and digest of its last session, measured against `clip`, and that quality."""
    session, weights = library.sessions[-1], library.assemble(len(library.sessions) - 1)
    quality = measure_quality(decode_all(weights), clip.frames)
    record = replace(
        session.record, psnr=quality.psnr, ms_ssim=quality.ms_ssim, weights_sha256=weights_digest(weights)
    )
    return library.with_last(replace(session, record=record)), quality
