"""Hidden files of writers: each is locked while its writer lives, so that what dead ones left can be removed.

A kill, a crash or a power cut leaves a hidden file behind. The lock on it (flock) ends with its process, whatever
ends that: whoever gets the lock may remove the file. Where the file system has no such locks nothing is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path

SUFFIX, RESERVE_SUFFIX = ".part", ".reserve"
_RANDOM = rf"[a-z0-9_]{{8}}(?:{re.escape(SUFFIX)}|{re.escape(RESERVE_SUFFIX)})"


def hidden_file(path: Path, suffix: str) -> tuple[int, Path]:
    """A new, locked, hidden file next to `path`: its descriptor and its name. Raises OSError."""
    while True:
        fd, name = tempfile.mkstemp(prefix=_prefix(path.name), suffix=suffix, dir=path.parent)
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, Path(name)
        os.close(fd)  # removed by another process before it was locked


def remove_leftovers(path: Path, *, numbered: re.Pattern[str] | None = None) -> None:
    """Remove the hidden files that dead writers of `path` left.

    numbered: what stands for a number in its name, such as %05d; then of all files of that name.
    """
    path = Path(os.path.realpath(path))
    name = re.escape(_prefix(path.name))
    if numbered is not None and (found := numbered.search(path.name)):
        start, end = path.name[: found.start()], path.name[found.end() :]
        name = rf"\.{re.escape(start)}\d+{re.escape(end)}\."
    pattern = re.compile(name + _RANDOM)
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        dead = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
        for file in dead:
            with contextlib.suppress(OSError):
                _remove(file)


def _remove(file: Path) -> None:
    """Remove a file whose lock nobody holds; OSError otherwise."""
    fd = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink()
    finally:
        os.close(fd)


def _prefix(name: str) -> str:
    """What the hidden file's name begins with; short enough for any file system."""
    return f".{os.fsdecode(os.fsencode(name)[:100])}."
