"""`pfnr-export --sessions ... --out-dir`: many sessions as a file each, with a manifest."""

from __future__ import annotations

from pathlib import Path

from pfnr_export.commands.export_shared import find_sessions
from pfnr_export.export_session import ExportOptions
from pfnr_export.folder.export_all import FolderExport, export_all
from pfnr_export.folder.manifest import NAME
from pfnr_runtime.artifact.packed.signature import SUFFIX as PACKED
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_train.executors.choose import choose_executor
from pfnr_train.library.file import read_library

SUFFIXES = (PACKED, ".onnx")


def run_folder(
    library: Path,
    sessions: str,
    folder: Path,
    suffix: str,
    options: ExportOptions,
    jobs: int | None,
    ray: str | None,
    json: bool,
) -> None:
    """Export, and report. A PfnrError, after all others were exported, if a session failed."""
    if suffix not in SUFFIXES:
        raise UsageError(f"--suffix {suffix!r} is none of {', '.join(SUFFIXES)}")
    opened = read_library(library)
    numbers = find_sessions(opened, sessions)
    with choose_executor(jobs, ray, preload=("pfnr_export.folder.export_all",)) as executor, Bar() as bar:
        bar.stage("exporting", len(numbers))
        done = export_all(opened, library, numbers, folder, suffix, options, executor, bar.advance)
    _report(done, folder, json)
    if done.failed:
        whys = "; ".join(f"session {number}: {why}" for number, why in list(done.failed.items())[:5])
        raise PfnrError(f"{len(done.failed)} of {len(numbers)} sessions failed ({whys}); run this again to go on")


def _report(done: FolderExport, folder: Path, json: bool) -> None:
    total = sum(row.bytes for row in done.manifest.files)
    if json:
        print_json(
            {
                "manifest": str(folder / NAME),
                "sessions": len(done.manifest.files),
                "new": list(done.new),
                "failed": {str(number): why for number, why in done.failed.items()},
                "bytes": total,
            }
        )
        return
    kept = len(done.manifest.files) - len(done.new)
    print(f"{len(done.new)} sessions exported, {kept} unchanged, {total / 1e6:.2f} MB in all -> {folder / NAME}")
