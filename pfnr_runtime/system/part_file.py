"""A file that appears under its name only once it is complete.

Everything the toolkit writes goes through here. Bytes go to a hidden file in the same folder, which `commit`
renames to the name asked for. A kill leaves the hidden file, and the old content under the name; whoever writes
that name next removes it (`pfnr_runtime.system.leftovers`). A file may hold disk space in reserve: when the disk
fills up, the reserve is released, so that a container can still be finished and the part written so far plays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from pfnr_runtime.system.leftovers import RESERVE_SUFFIX, SUFFIX, hidden_file, remove_leftovers

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class PartFile:
    """A binary file being written, with the methods that PyAV needs: write, seek, tell.

    - path: its final name; behind a link, the file that it points to. An existing file keeps its mode. A device or
      a pipe is written in place, since there is nothing to rename.
    - reserve: bytes to hold back for finishing.
    - sweep: whether to remove what dead writers of the same name left.
    - full: the disk-full error, once the reserve is in use.

    Raises OSError, which names `path` and never the hidden file.
    """

    def __init__(self, path: str | Path, *, reserve: int = 0, sweep: bool = True) -> None:
        self.path = Path(os.path.realpath(path))
        self.full: OSError | None = None
        self._reserve: tuple[int, Path] | None = None
        self._part: Path | None = None
        self._fd = -1
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = None
        if (mode is None or stat.S_ISREG(mode)) and not self.path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(self.path.parent))
        try:
            if mode is not None and not stat.S_ISREG(mode):
                self._fd = os.open(path, os.O_WRONLY)
            else:
                self._create(mode, reserve, sweep)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                error.filename = str(path)
            raise

    def _create(self, mode: int | None, reserve: int, sweep: bool) -> None:
        if sweep:
            remove_leftovers(self.path)
        self._fd, self._part = hidden_file(self.path, SUFFIX)
        os.fchmod(self._fd, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode) & 0o777)
        if reserve:
            self._hold(reserve)

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`; OSError where the disk, or its reserve, is full."""
        rest = memoryview(data)
        while len(rest):
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                if error.errno not in DISK_FULL or self._reserve is None:
                    raise
                self.full = error
                self._give_back()
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As `io.IOBase.seek`."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """As `io.IOBase.tell`."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def reader(self) -> BinaryIO:
        """Read what has been written so far, from an independent position; only where the file is seekable."""
        assert self._part is not None
        return open(self._part, "rb")

    def seekable(self) -> bool:
        """Whether this is a file rather than a pipe."""
        return self._part is not None

    def commit(self, *, durable: bool = True, name: Path | None = None) -> None:
        """Close the file and give it its name, or another.

        durable: the file, and then its name, are safely on the disk when this returns.
        """
        self._give_back()
        if self._part is None:
            self._close()
            return
        target = name or self.path
        try:
            if durable:
                os.fsync(self._fd)
            os.replace(self._part, target)  # before the lock on it goes
            self._part = None
            self._close()
            if durable:
                _sync_folder(target.parent)
        except OSError as error:
            error.filename, error.filename2 = str(target), None
            raise

    def discard(self) -> None:
        """Close the file and leave nothing behind; after `commit` it does nothing."""
        self._give_back()
        with contextlib.suppress(OSError):
            self._close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _hold(self, size: int) -> None:
        self._reserve = hidden_file(self.path, RESERVE_SUFFIX)
        # Real bytes: a file system may accept a sparse file of any size.
        for _ in range(0, size, 1 << 16):
            os.write(self._reserve[0], bytes(1 << 16))

    def _give_back(self) -> None:
        if self._reserve is not None:
            (fd, file), self._reserve = self._reserve, None
            file.unlink(missing_ok=True)
            os.close(fd)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all, and safely on the disk. Raises OSError."""
    file = PartFile(path)
    try:
        file.write(data)
        file.commit()
    except OSError as error:
        error.filename = error.filename or str(path)  # a failed write does not say where
        raise
    finally:
        file.discard()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
