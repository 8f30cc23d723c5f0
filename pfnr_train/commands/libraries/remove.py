"""`pfnr-train remove`: a library without some of its sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import LibraryError
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.library.file import lock_library, read_library
from pfnr_train.library.selection import Selection, dependents, write_selections
from pfnr_train.run.training_state import state_path


@reports_errors
def remove(
    sessions: Annotated[list[str], typer.Argument(help="Indices or names of sessions.", show_default=False)],
    library: LibraryOption,
    json: JsonOption = False,
) -> None:
    """Take SESSIONS out of the library, for good. Later sessions move up and keep their names and digests.

    A session that another one is stored as differences from can only go together with that one.
    """
    with lock_library(library):
        opened = read_library(library)
        numbers = {opened.find(which) for which in sessions}
        summaries = opened.summaries()
        if needing := dependents(summaries, sorted(numbers)):
            names = ", ".join(f"{k} ({summaries[k].record.video.name})" for k in needing[:20])
            raise LibraryError(
                f"{library}: stored as differences from what is to go: {names}; remove these as well"
            )
        state = state_path(library, len(opened.sessions))
        if state.exists():
            raise LibraryError(
                f"{state} holds a training that was interrupted, and its session would get another "
                "number; end that training first, or discard it"
            )
        kept = [k for k in range(len(summaries)) if k not in numbers]
        count = write_selections([Selection(opened, library, kept)], library)
    if json:
        removed = [summaries[k].record.video.name for k in sorted(numbers)]
        size = library.stat().st_size
        print_json({"library": str(library), "removed": removed, "sessions": count, "bytes": size})
    else:
        print(f"{len(numbers)} sessions removed, {count} left -> {library}")
