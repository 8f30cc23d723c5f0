"""The file that a new library is written to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_runtime.errors import LibraryError

OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", help="The new library, of a name that is not taken.", show_default=False),
]


def require_new(path: Path) -> None:
    """A LibraryError where there is something at `path` already."""
    if path.exists():
        raise LibraryError(f"{path} exists; choose another name for the new library")
