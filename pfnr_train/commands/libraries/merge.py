"""`pfnr-train merge`: the sessions of several libraries in a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import UsageError
from pfnr_train.commands.libraries.outputs import OutputOption, require_new
from pfnr_train.commands.options import JsonOption
from pfnr_train.library.file import lock_library, read_library
from pfnr_train.library.selection import Selection, write_selections


@reports_errors
def merge(
    libraries: Annotated[
        list[Path], typer.Argument(help="Libraries of one network, in order.", show_default=False, readable=False)
    ],
    output: OutputOption,
    json: JsonOption = False,
) -> None:
    """Write the sessions of all LIBRARIES into a new library, those of the first one first.

    Every session keeps its digest. Sessions that share values cannot be merged.
    """
    if len(libraries) < 2:
        raise UsageError("name two libraries or more: pfnr-train merge a.pfnr b.pfnr -o c.pfnr")
    require_new(output)
    with lock_library(output):
        opened = [read_library(path) for path in libraries]
        parts = [Selection(o, path, range(len(o.sessions))) for o, path in zip(opened, libraries, strict=True)]
        count = write_selections(parts, output)
    if json:
        print_json({"library": str(output), "sessions": count, "bytes": output.stat().st_size})
    else:
        print(f"{count} sessions of {len(libraries)} libraries -> {output}")
