"""Writing libraries of format 3: whole ones, and one more session at the end of one that is there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import safetensors.numpy

from pfnr_runtime import __version__
from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.part_file import PartFile
from pfnr_train.library.appended.entry import METADATA_KEY, entry_bytes
from pfnr_train.library.appended.footer import Footer
from pfnr_train.library.appended.lookup import NAMED, NUMBERED, Additions, name_key, number_key
from pfnr_train.library.appended.reader import FORMAT_VERSION, RESTORE, AppendedFile, ReadAt, pread
from pfnr_train.library.session import Session
from pfnr_train.model.config import ModelConfig


def base_bytes(config: ModelConfig) -> bytes:
    """A library without sessions."""
    text = {"format_version": FORMAT_VERSION, "producer": f"pfnr {__version__}", "config": config.to_json()}
    return safetensors.numpy.save({}, metadata={METADATA_KEY: json.dumps(text, sort_keys=True)})


def next_session(file: AppendedFile, session: Session) -> tuple[bytes, Footer]:
    """What is appended for one more session: its entry and lookup nodes, and the footer that completes it."""
    number, entry = file.count, entry_bytes(session)
    root = 0 if file.last is None else file.last.root
    additions = Additions(root, file.end + len(entry), file.node, file.key_of)
    try:
        additions.add(number_key(number), NUMBERED)
        additions.add(name_key(session.record.video.name), NAMED)
    except ValueError as error:
        raise LibraryError(f"{file.path}: {error}; {RESTORE}") from None
    place, top, nodes = additions.pack()
    digests = (hashlib.sha256(entry).digest(), hashlib.sha256(nodes).digest())
    footer = Footer(place, number, file.end, len(entry), top, *digests)
    return entry + nodes, footer


def append_sessions(file: AppendedFile, path: Path, sessions: Iterable[Session]) -> AppendedFile:
    """Add sessions at the end of the library at `path`, which `file` is; the caller holds its lock.

    Each is complete once its footer is on the disk. Raises OSError; then the file ends as before the session that
    could not be written. Returns the file as it is then.
    """
    with path.open("r+b") as out:
        try:
            out.truncate(file.end)
            for session in sessions:
                body, footer = next_session(file, session)
                out.seek(file.end)
                out.write(body)
                out.flush()
                os.fsync(out.fileno())
                out.write(footer.pack())
                out.flush()
                os.fsync(out.fileno())
                file = file.grown(footer)
        except OSError as error:
            with contextlib.suppress(OSError):
                out.truncate(file.end)
            error.filename = error.filename or str(path)
            raise
    return file


def write_whole(config: ModelConfig, sessions: Iterable[Session], path: Path) -> None:
    """A new library in place of what is at `path`, atomically, one session in memory at a time. Raises OSError."""
    out = PartFile(path)
    try:
        with out.reader() as reader:
            for part in whole(config, sessions, lambda offset, size: pread(reader.fileno(), offset, size), path):
                out.write(part)
        out.commit()
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        out.discard()


def whole(config: ModelConfig, sessions: Iterable[Session], read_at: ReadAt, path: Path) -> Iterator[bytes]:
    """The parts of a whole library, one after another. read_at: reads what was given so far."""
    base = base_bytes(config)
    yield base
    file = AppendedFile(path, read_at, len(base))
    for session in sessions:
        body, footer = next_session(file, session)
        yield body + footer.pack()
        file = file.grown(footer)
