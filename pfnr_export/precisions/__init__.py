"""Precisions of an artifact. Adding one is adding a file and naming it below.

Precision lives in the graph, never in a flag of the engine that runs it: a precision is a rewrite of the
emitted fp32 model.
"""

from __future__ import annotations

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.fp16 import FP16
from pfnr_export.precisions.fp32 import FP32
from pfnr_export.precisions.int8 import INT8
from pfnr_export.precisions.int8_weights import INT8_WEIGHTS
from pfnr_runtime.errors import UsageError

__all__ = ["PRECISIONS", "Converted", "Precision", "Subject", "choose_precision"]

PRECISIONS: dict[str, Precision] = {p.name: p for p in (FP32, FP16, INT8, INT8_WEIGHTS)}


def choose_precision(name: str) -> Precision:
    """The precision of this name; a UsageError lists the known ones."""
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r} is none of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
