"""Files that may be read: regular ones. A named pipe would block its reader forever, a device never ends."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def require_regular(path: Path) -> int:
    """The size of the regular file at `path` in bytes; an OSError names a device, pipe or socket, or what else is
    wrong.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ESPIPE, "is a device, a pipe or a socket; name a regular file", str(path))
    return status.st_size
