"""Where this user's caches lie."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """$XDG_CACHE_HOME/pfnr/NAME, or ~/.cache/pfnr/NAME where that is unset or not an absolute path.

    A RuntimeError for a user without a home, as in a container.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "pfnr" / name
