"""A file that appears under its name only once it is complete.

Bytes go to a hidden file in the same folder, which `commit` renames to the name asked for. A file may hold disk
space in reserve: when the disk fills up, the reserve is released, so that a container can still be finished and
the part written so far plays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from pfnr_runtime.errors import SinkError
from pfnr_runtime.system.os_errors import describe_os_error

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class PartFile:
    """A binary file being written, with the methods that PyAV needs: write, seek, tell.

    path: its final name. reserve: bytes to hold back for finishing. A device or a named pipe is written in place,
    since there is nothing to rename. full: the disk-full error, once the reserve is in use.
    """

    def __init__(self, path: str | Path, *, reserve: int = 0) -> None:
        self.path = Path(os.path.realpath(path))
        self.full: OSError | None = None
        self._reserve: Path | None = None
        self._part: Path | None = None
        self._fd = -1
        check_folder(Path(path))
        try:
            self._create(reserve)
        except OSError as error:
            self.discard()
            error.filename = None  # of the hidden file
            raise SinkError(f"{path}: {describe_os_error(error)}") from None
        except BaseException:
            self.discard()
            raise

    def _create(self, reserve: int) -> None:
        if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
            self._fd = os.open(self.path, os.O_WRONLY)
            return
        self._fd, part = tempfile.mkstemp(prefix=f".{self.path.name[:100]}.", suffix=".part", dir=self.path.parent)
        self._part = Path(part)
        os.fchmod(self._fd, 0o666 & ~_umask())
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
        """Close the file and give it its name, or another; durable: fsync it first."""
        self._give_back()
        if self._part is None:
            self._close()
            return
        if durable:
            os.fsync(self._fd)
        self._close()
        os.replace(self._part, name or self.path)
        self._part = None

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
        fd, name = tempfile.mkstemp(prefix=".pfnr.", suffix=".reserve", dir=self.path.parent)
        self._reserve = Path(name)
        try:
            # Real bytes: a file system may accept a sparse file of any size.
            for _ in range(0, size, 1 << 16):
                os.write(fd, bytes(1 << 16))
        finally:
            os.close(fd)

    def _give_back(self) -> None:
        if self._reserve is not None:
            self._reserve.unlink(missing_ok=True)
            self._reserve = None


def check_folder(path: Path) -> None:
    """A SinkError if the folder that `path` lies in is missing, or `path` itself is a folder."""
    folder = path.parent
    if not folder.is_dir():
        raise SinkError(f"{path}: the folder {folder} does not exist; make it first: mkdir -p {folder}")
    if path.is_dir():
        raise SinkError(f"{path}: is a folder; name a file")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
