"""Adding a session to a library file so that a training survives whatever ends its process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_train.clips import Clip
from pfnr_train.library.file import lock_library, read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.machine.execution import DEFAULT, Execution
from pfnr_train.machine.ranks import Ranks
from pfnr_train.run.add_session import OnStep, measured, relative_source, train_session
from pfnr_train.run.state_keeper import SAVE_EVERY, StateKeeper
from pfnr_train.run.stop_signals import StopSignals
from pfnr_train.run.training_state import Identity, SavedState, state_path
from pfnr_train.session.recipe import Recipe


def add_resumably(
    library: Library,
    path: Path,
    clip: Clip,
    name: str,
    recipe: Recipe,
    on_step: OnStep,
    execution: Execution = DEFAULT,
    saved: SavedState | None = None,
    every: float = SAVE_EVERY,
) -> Library:
    """Train `clip` as the next session of the library at `path`; write the library and return it.

    The caller holds the library's lock and has asked `find_state` for `saved`, the state to go on from. Every
    `every` seconds, on Ctrl-C, on SIGTERM and where the library cannot be written, the training's state is
    saved beside it; once the session is in the library the state is gone. With the same threads on a CPU the
    library's bytes do not depend on how often it was interrupted. Of several processes the leading one alone
    measures and writes. Raises what `add_session` and `write_library` raise, and LibraryError where `saved` is
    of another training.
    """
    if recipe.batch < execution.ranks.size:
        raise UsageError(
            f"--batch {recipe.batch} cannot be shared by {execution.ranks.size} processes; give --batch "
            f"{execution.ranks.size} or more, the frames that all of them see in a step"
        )
    identity = Identity.of(library, clip, recipe)
    execution.ranks.check_same(identity.digest(), "clip, library or recipe are")
    file, source = state_path(path, len(library.sessions)), relative_source(clip, path)
    with StopSignals.listen() as stop, StateKeeper(file, identity, saved, every, stop) as keeper:
        grown = train_session(library, clip, name, source, recipe, on_step, execution, keeper.steps)
        if execution.ranks.leads:
            grown, _ = measured(grown, clip)
            write_library(grown, path)
    execution.ranks.wait()
    return grown if execution.ranks.leads else read_library(path)


@contextlib.contextmanager
def hold_library(path: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the library's lock for all processes that train together."""
    with lock_library(path) if ranks.leads else contextlib.nullcontext():
        ranks.wait()
        yield


def find_finished(
    library: Library, clip: Clip, recipe: Recipe, name: str | None, any_epochs: bool = False
) -> int | None:
    """The index of the last session if it is the one that training `clip` so would give, else None.

    For a training that was killed after its session was in the library but before it could say so.
    any_epochs: the number of epochs was not given, but chosen then.
    """
    if not library.sessions:
        return None
    record = library.sessions[-1].record
    same = (record.source_sha256, record.density, record.seed) == (clip.sha256, recipe.density, recipe.seed)
    named = name is None or name == record.video.name
    as_long = any_epochs or record.epochs == recipe.epochs
    return len(library.sessions) - 1 if same and named and as_long else None


def clear_finished_state(library: Library, path: Path) -> None:
    """Remove the last session's state, left by a process that was killed just after writing the library."""
    last = state_path(path, len(library.sessions) - 1)
    if library.sessions and last.exists():
        last.unlink()
        say(f"{last} removed: its session is in the library")
