"""The `*.pfnr` file: a library, validated before anything in it is believed.

Two containers (docs/format.md has all of it): sessions that own their values follow one another in format 3, where
each is read and added alone (`appended`); where sessions share values, which a new session may change, one
safetensors file is written as a whole (`whole`). Writing goes on under a lock; readers need none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import filelock
import safetensors

from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.leftovers import remove_leftovers
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_train.library.appended.entry import LENGTH_SIZE, MISTAKES, header_size, metadata_of
from pfnr_train.library.appended.reader import FORMAT_VERSION, AppendedFile
from pfnr_train.library.appended.sessions import StoredSessions
from pfnr_train.library.appended.writer import append_sessions, whole, write_whole
from pfnr_train.library.library import Library
from pfnr_train.library.whole import ANY_VALUES, METADATA_KEY, SHARED_ONLY, read_whole, whole_bytes


def real_path(path: Path) -> Path:
    """The file that `path` names, also where it is a link to it."""
    return path.resolve() if path.is_symlink() else path


@contextlib.contextmanager
def lock_library(path: Path) -> Iterator[None]:
    """Hold the library's lock, `<name>.lock` next to the file itself, even if `path` is a link to it.

    A LibraryError, with the process's number where that is known, if another process holds it, and for a library
    that may not be written. Where no library comes of it, its lock file goes too.
    """
    if not path.parent.is_dir():
        raise LibraryError(f"{path}: folder {path.parent} does not exist; make it first: mkdir -p {path.parent}")
    if path.exists() and not _is_writable(path):
        raise LibraryError(f"{path} is read-only; allow writing with chmod u+w, or add to a copy of it")
    file = Path(f"{real_path(path)}.lock")
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        holder = file.read_text(errors="replace")[:20].strip()
        raise LibraryError(
            f"{path} is locked: {f'process {holder}' if holder.isdecimal() else 'another process'} is adding to "
            "it; wait for it to end, then run this again"
        ) from None
    try:
        with contextlib.suppress(OSError):  # a full disk takes away only the number
            file.write_text(f"{os.getpid()}\n")
        remove_leftovers(real_path(path))
        yield
    finally:
        if not path.exists():
            file.unlink(missing_ok=True)
        lock.release()


def _is_writable(path: Path) -> bool:
    """Whether the file's own mode allows writing: renaming a new one onto it would not ask, nor is root asked."""
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK)


def write_library(library: Library, path: Path) -> Library:
    """Write the library: sessions that are not in the file yet at its end, or a new file in its place, atomically.

    Returns the library as the file holds it, to go on from. The caller holds the lock. Raises OSError, also where
    the file there is read-only.
    """
    if path.exists() and not _is_writable(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    place, sessions = real_path(path), library.sessions
    if _shares(library):
        write_atomically(place, whole_bytes(library))
        return library
    if isinstance(sessions, StoredSessions) and sessions.file.is_at(place):
        file = append_sessions(sessions.file, place, sessions.added)
    else:
        write_whole(library.config, sessions, place)
        file = AppendedFile.open(place)
    return Library(library.config, {}, StoredSessions(file))


def library_bytes(library: Library) -> bytes:
    """The file that a library makes. Same library, same bytes, however it was written."""
    if _shares(library):
        return whole_bytes(library)
    data = BytesIO()

    def read_at(offset: int, size: int) -> bytes:
        return bytes(data.getbuffer()[offset : offset + size])

    for part in whole(library.config, library.sessions, read_at, Path("library.pfnr")):
        data.write(part)
    return data.getvalue()


def _shares(library: Library) -> bool:
    """Whether the library has values to share, be it for sessions to come."""
    return library.shares or bool(library.weights and not library.sessions)


def read_library(path: Path) -> Library:
    """Read and validate a library; a LibraryError says what is wrong with the file and what to do.

    Of a library of format 3, sessions are read and validated when they are asked for.
    """
    if not path.exists():
        raise LibraryError(
            f"{path} does not exist; make it with `pfnr-train add CLIP --library {path}`, or name another with "
            "`library` or $PFNR_LIBRARY"
        )
    if path.is_dir():
        raise LibraryError(f"{path} is a folder; name the library file in it")
    try:
        require_regular(path)
        if format_version(path) == FORMAT_VERSION:
            file = AppendedFile.open(path)
            return Library(file.config, {}, StoredSessions(file))
        with safetensors.safe_open(path, framework="numpy") as opened:
            return read_whole(path, _header(path, opened.metadata()), opened)
    except PermissionError:
        raise LibraryError(f"{path}: permission denied; make the file readable") from None
    except safetensors.SafetensorError as error:
        raise LibraryError(
            f"{path} is not a library, or is truncated or damaged ({error}); restore it from a copy"
        ) from None


def format_version(path: Path) -> Any:
    """The format version that the file's first header names; None where that cannot be told."""
    with path.open("rb") as file:
        start = file.read(LENGTH_SIZE)
        try:
            size = header_size(start, path.stat().st_size)
            return metadata_of(start + file.read(size - LENGTH_SIZE))["format_version"]
        except MISTAKES:
            return None


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise LibraryError(f"{path} is a safetensors file but not a pfnr library; name another with `library`")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise LibraryError(f"{path}: its header is not readable; restore the file from a copy")
    version = header.get("format_version")
    if version not in (SHARED_ONLY, ANY_VALUES):
        raise LibraryError(
            f"{path} is of library format {str(version)[:20]}; this version of pfnr reads {SHARED_ONLY}, "
            f"{ANY_VALUES} and {FORMAT_VERSION}: install a matching pfnr"
        )
    return header
