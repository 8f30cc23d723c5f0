"""Keeping memory that one training step frees and the next one needs, instead of returning it to the system.

glibc returns large blocks at once, so every step of a small network faults in some three thousand pages again: a
sixth of its time.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt(3): how much free memory stays at the heap's end, and from what size on a block is mapped
# by itself, of which some versions allow no more than 32 MiB.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _GIB = -1, -3, 1 << 30
_MMAP_SIZES = (_GIB, 32 << 20)


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory; returns whether it does (glibc only)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mapped = any(mallopt(_MMAP_THRESHOLD, size) for size in _MMAP_SIZES)
    return mapped and bool(mallopt(_TRIM_THRESHOLD, _GIB))
