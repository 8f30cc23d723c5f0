"""Where the library is unless a command is told: a module that needs no torch."""

from __future__ import annotations

import os
from pathlib import Path


def default_library_path() -> Path:
    """`$PFNR_LIBRARY` if set, else `library.pfnr` in the current folder."""
    return Path(os.environ.get("PFNR_LIBRARY") or "library.pfnr")
