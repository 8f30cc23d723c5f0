"""`pfnr-train fsck`: reads all of a library, and says what is wrong and what can be saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.messages import say
from pfnr_train.commands.libraries.outputs import require_new
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.library.file import lock_library
from pfnr_train.library.inspection import inspect_library
from pfnr_train.library.selection import Selection, write_selections


@reports_errors
def fsck(
    library: LibraryOption,
    save: Annotated[
        Path | None,
        typer.Option(help="New library to write the whole sessions into.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read all of a library and check every digest. Never changes it. Exits with 0, or 3 if it is damaged."""
    if save is not None:
        require_new(save)
    found = inspect_library(library)
    total, whole = len(found.library.sessions), len(found.whole)
    if save is not None:
        if not whole:
            raise LibraryError(f"{library}: no session is whole, so that there is nothing to save")
        with lock_library(save):
            write_selections([Selection(found.library, library, found.whole)], save)
    if json:
        print_json(
            {
                "library": str(library),
                "sessions": total,
                "whole": list(found.whole),
                "problems": list(found.problems),
                "saved": None if save is None else str(save),
            }
        )
    else:
        for problem in found.problems:
            say(f"{library}: {problem}")
        saved = "" if save is None else f", saved -> {save}"
        verdict = "no problems" if not found.problems else f"{len(found.problems)} problems"
        print(f"{library}: {whole} of {total} sessions are whole, {verdict}{saved}")
    if found.problems:
        raise typer.Exit(3)
