"""Exporting many sessions into a folder, side by side; what is there already and unchanged is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.folder.manifest import (
    NAME,
    ExportedFile,
    Manifest,
    file_names,
    file_sha256,
    path_from,
    read_manifest,
)
from pfnr_export.source import find_source
from pfnr_runtime import __version__
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.system.messages import say
from pfnr_train.executors.base import Executor, Work
from pfnr_train.library.digests import Digest
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library
from pfnr_train.library.record import SessionRecord
from pfnr_train.machine.threads import set_threads

WRITE_SECONDS = 5.0  # between two writings of the manifest


@dataclass(frozen=True)
class ExportTask:
    """One session to export. library, folder: absolute, where all workers see them."""

    library: Path
    folder: Path
    session: int
    file: str
    made: str
    options: ExportOptions
    threads: int


@dataclass(frozen=True)
class FolderExport:
    """What was done. new: numbers of sessions written. failed: why, by session number."""

    manifest: Manifest
    new: tuple[int, ...]
    failed: dict[int, str]


def export_all(
    library: Library,
    path: Path,
    numbers: Sequence[int],
    folder: Path,
    suffix: str,
    options: ExportOptions,
    executor: Executor,
    advance: Callable[[], None] = lambda: None,
) -> FolderExport:
    """Export these sessions of the library at `path`; the manifest tells of all its sessions in the folder now.

    suffix: `.pfnv` or `.onnx`. A session that fails leaves the others; interrupted, it goes on when called again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {row.file: row for row in read_manifest(folder).files} if (folder / NAME).exists() else {}
    summaries = library.summaries()
    names, asked = file_names(summaries, suffix), set(numbers)
    done: dict[int, ExportedFile] = {}
    others = {
        number: row
        for number, summary in enumerate(summaries)
        if number not in asked and (row := known.get(names[number])) is not None
        if (row.session, row.weights_sha256) == (number, summary.record.weights_sha256)
        if (folder / row.file).is_file()
    }
    new: list[int] = []
    failed: dict[int, str] = {}
    for number in numbers:
        made = _made(number, summaries[number].record, options, suffix)
        earlier = known.get(names[number])
        if earlier is not None and earlier.made == made and earlier.is_there(folder):
            done[number] = earlier
            advance()
            continue
        task = ExportTask(path.resolve(), folder.resolve(), number, names[number], made, options, 1)
        executor.submit(Work(number, export_task, task))
    waiting, written = asked - done.keys(), time.monotonic()
    if done and waiting:
        say(f"{len(done)} of {len(numbers)} sessions are in {folder} already")

    def manifest() -> Manifest:
        return Manifest(path_from(folder, path), tuple((others | done).values()))

    try:
        while waiting:
            ended = executor.next(1.0)
            if ended is None:
                continue
            waiting.remove(ended.key)
            advance()
            if ended.error:
                failed[ended.key] = ended.error
                say(f"session {ended.key} ({summaries[ended.key].record.video.name}) failed: {ended.error}")
            else:
                done[ended.key] = ended.value
                new.append(ended.key)
            if time.monotonic() - written > WRITE_SECONDS:
                manifest().write(folder)
                written = time.monotonic()
    finally:
        manifest().write(folder)
    return FolderExport(manifest(), tuple(sorted(new)), failed)


def export_task(task: ExportTask) -> ExportedFile:
    """Export one session, in whatever worker."""
    set_threads(task.threads)
    if not task.folder.is_dir():
        raise PfnrError(f"folder {task.folder} is not seen here; it must be where all workers see it")
    library = read_library(task.library)
    record = library.sessions[task.session].record
    source = find_source(record, task.library, task.options.precision)
    path = task.folder / task.file
    done = export_session(library, task.session, path, task.options, source)
    return ExportedFile(
        task.session,
        record.video.name,
        task.file,
        done.file_bytes,
        file_sha256(path),
        record.weights_sha256,
        task.made,
        done.contract.precision,
        record.quality(),
    )


def _made(number: int, record: SessionRecord, options: ExportOptions, suffix: str) -> str:
    settings = {key: str(value) for key, value in asdict(options).items()}
    session = [number, record.weights_sha256, record.video.to_json(), record.quality()]
    return Digest().add_json([session, settings, suffix, __version__]).hex()
