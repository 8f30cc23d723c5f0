"""Writing a file so that its name only ever holds the old content or the whole new one."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; on a clean exit it is fsynced and renamed to `path`.

    On any exception, a kill aside, the temporary file is removed and `path` is left as it was. The
    temporary name keeps the suffix of `path`, for writers that choose a format by it. Raises OSError.
    """
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(folder)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A failed write says nothing of where, and the temporary name would tell a person nothing.
        if isinstance(error, OSError) and error.filename in (None, name):
            error.filename = str(path)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all. Raises OSError."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed writers of `path` left; call it where nobody else can be writing."""
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.[a-z0-9_]{{8}}\.tmp{re.escape(path.suffix)}")
    for file in path.parent.iterdir():
        if pattern.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
