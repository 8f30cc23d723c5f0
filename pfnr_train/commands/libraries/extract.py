"""`pfnr-train extract`: some sessions of a library as a new one."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_train.commands.libraries.outputs import OutputOption, require_new
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.library.file import lock_library, read_library
from pfnr_train.library.selection import Selection, write_selections


@reports_errors
def extract(
    sessions: Annotated[list[str], typer.Argument(help="Indices or names of sessions.", show_default=False)],
    output: OutputOption,
    library: LibraryOption,
    json: JsonOption = False,
) -> None:
    """Write SESSIONS, in the library's order, into a new library.

    Each keeps its digest. The parents of those that are stored as differences have to come too.
    """
    require_new(output)
    with lock_library(output):
        opened = read_library(library)
        numbers = sorted({opened.find(which) for which in sessions})
        count = write_selections([Selection(opened, library, numbers)], output)
    if json:
        print_json({"library": str(output), "sessions": count, "bytes": output.stat().st_size})
    else:
        print(f"{count} of {len(opened.sessions)} sessions -> {output}")
