"""Adding a session to a library file so that a training survives whatever ends its process."""

from __future__ import annotations

from pathlib import Path

from pfnr_runtime.clips import Clip
from pfnr_runtime.console import say
from pfnr_train.add_session import OnStep, add_session, relative_source
from pfnr_train.library import Library
from pfnr_train.library_file import write_library
from pfnr_train.quality import Quality
from pfnr_train.recipe import Recipe
from pfnr_train.state_keeper import SAVE_EVERY, StateKeeper
from pfnr_train.stop_signals import StopSignals
from pfnr_train.training_state import Identity, SavedState, state_path


def add_resumably(
    library: Library,
    path: Path,
    clip: Clip,
    name: str,
    recipe: Recipe,
    on_step: OnStep,
    device: str = "cpu",
    saved: SavedState | None = None,
    every: float = SAVE_EVERY,
) -> tuple[Library, Quality]:
    """Train `clip` as the next session of the library at `path`, and write the library.

    The caller holds the library's lock and has asked `find_state` for `saved`, the state to go on from. Every
    `every` seconds, on Ctrl-C, on SIGTERM and where the library cannot be written, the training's state is
    saved beside it; once the session is in the library the state is gone. With the same threads on a CPU the
    library's bytes do not depend on how often it was interrupted. Raises what `add_session` and
    `write_library` raise, and LibraryError where `saved` is of another training.
    """
    with StopSignals.listen() as stop:
        identity = Identity.of(library, clip, recipe)
        with StateKeeper(state_path(path, len(library.sessions)), identity, saved, every, stop) as keeper:
            source = relative_source(clip, path)
            grown, quality = add_session(library, clip, name, source, recipe, on_step, device, keeper.steps)
            write_library(grown, path)
    return grown, quality


def find_finished(library: Library, clip: Clip, recipe: Recipe, name: str | None) -> int | None:
    """The index of the last session if it is the one that training `clip` so would give, else None.

    For a training that was killed after its session was in the library but before it could say so.
    """
    if not library.sessions:
        return None
    record = library.sessions[-1].record
    same = (record.source_sha256, record.density, record.seed) == (clip.sha256, recipe.density, recipe.seed)
    named = name is None or name == record.video.name
    return len(library.sessions) - 1 if same and named and record.epochs == recipe.epochs else None


def clear_finished_state(library: Library, path: Path) -> None:
    """Remove the last session's state, left by a process that was killed just after writing the library."""
    last = state_path(path, len(library.sessions) - 1)
    if library.sessions and last.exists():
        last.unlink()
        say(f"{last} removed: its session is in the library")
