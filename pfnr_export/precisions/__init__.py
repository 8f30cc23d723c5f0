"""Precisions of an artifact. A module of this package with a `PRECISION` is one; adding one is adding a file.

Precision lives in the graph, never in a flag of the engine that runs it: a precision is a rewrite of the
emitted fp32 model.
"""

from __future__ import annotations

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.exact import PRECISION as EXACT
from pfnr_export.precisions.fp32 import PRECISION as FP32
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.records import find_records

__all__ = ["AUTO", "EXACT", "FP32", "PRECISIONS", "Converted", "Precision", "Subject", "choose_precision"]

AUTO = "auto"  # exact for a network that has an exact form, else fp32
# Lossless ones first.
PRECISIONS: dict[str, Precision] = {
    p.name: p
    for p in sorted(find_records(__name__, __path__, "PRECISION"), key=lambda p: (p.budget is not None, p.name))
}


def choose_precision(name: str, *, exact: bool = False) -> Precision:
    """The precision of this name; a UsageError lists the known ones. exact: what `auto` stands for is exact."""
    if name == AUTO:
        return EXACT if exact else FP32
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r} is none of {', '.join((AUTO, *PRECISIONS))}")
    return PRECISIONS[name]
