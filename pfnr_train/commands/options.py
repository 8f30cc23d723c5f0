"""Options that several `pfnr-train` subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_train.library.default_path import default_library_path

LibraryOption = Annotated[
    Path,
    typer.Option(
        "--library",
        "-l",
        default_factory=default_library_path,
        show_default="$PFNR_LIBRARY or library.pfnr",
        help="The library file.",
        readable=False,  # checked when read, with the usual message and exit code for bad files
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
TensorBoardOption = Annotated[
    Path | None,
    typer.Option(help="Folder for TensorBoard's scalars and pictures (extra tensorboard).", show_default=False),
]
JobsOption = Annotated[
    int | None, typer.Option(help="Work on so many sessions at a time, each in its own process.", show_default="1")
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster: local, auto, or HOST:PORT of its head (extra ray).",
        show_default=False,
        metavar="ADDRESS",
    ),
]
SaveEveryOption = Annotated[str, typer.Option(help="How often to save the training's state.")]
