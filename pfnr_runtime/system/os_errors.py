"""File system errors in words."""

from __future__ import annotations

import errno


def describe_os_error(error: OSError) -> str:
    """One line for a file system error: what, where, and what to do about it."""
    where = f"{error.filename}: " if error.filename else ""
    advice = {
        errno.ENOSPC: "the disk is full; free some space and run the command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
        errno.EACCES: "permission denied; choose a place you may write to",
        errno.EPERM: "not permitted; choose a place you may write to",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.ENOENT: "no such file or folder; check the path",
        errno.ENAMETOOLONG: "the name, or one that begins with it, is too long; choose a shorter one",
        errno.EISDIR: "is a folder; name a file",
        errno.ENOTDIR: "a part of this path is not a folder; check the path",
    }.get(error.errno or 0, error.strerror or str(error))
    return f"{where}{advice}"
