"""`pfnr-verify DIR`: every file that the folder's manifest names."""

from __future__ import annotations

from pathlib import Path

import typer

from pfnr_export.folder.manifest import NAME
from pfnr_export.folder.verify_all import verify_all
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.system.messages import say
from pfnr_train.executors.choose import choose_executor


def run_folder(
    folder: Path, library: Path | None, backend: str, jobs: int | None, ray: str | None, json: bool
) -> None:
    """Verify and report. Exits with 3 if a file is not what it should be."""
    with choose_executor(jobs, ray, preload=("pfnr_export.folder.verify_all",)) as executor, Bar() as bar:
        bar.stage("verifying", None)
        found = verify_all(folder, library, backend, executor, bar.advance)
    wrong = {file: problem for file, problem in sorted(found.items()) if problem}
    if json:
        print_json({"manifest": str(folder / NAME), "files": len(found), "passed": not wrong, "problems": wrong})
    else:
        print(f"{folder / NAME}: {len(found) - len(wrong)} of {len(found)} files are what was exported")
    for file, problem in wrong.items():
        say(f"error: {folder / file}: {problem}")
    if wrong:
        raise typer.Exit(3)
