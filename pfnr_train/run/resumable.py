"""Around one session's job: the lock of its library, and what an earlier process of the same job left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pfnr_runtime.system.messages import say
from pfnr_train.clips import Clip
from pfnr_train.library.file import lock_library
from pfnr_train.library.library import Library
from pfnr_train.machine.ranks import Ranks
from pfnr_train.run.training_state import state_path
from pfnr_train.session.recipe import Recipe


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
