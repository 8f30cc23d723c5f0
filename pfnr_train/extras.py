"""Packages that only some options need: if one is missing, an error names the extra that installs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pfnr_runtime.errors import BackendError


@contextlib.contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Around imports: a BackendError instead of a ModuleNotFoundError. what: what needs it, for the message."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pfnr_"):
            raise
        raise BackendError(
            f"{what} needs {error.name}, which is not installed: pip install 'pfnr[{extra}]'"
        ) from None
