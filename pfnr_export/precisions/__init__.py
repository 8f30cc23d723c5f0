"""Precisions of an artifact. Adding one is adding a file and naming it below.

Precision lives in the graph, never in a flag of the engine that runs it: a precision is a rewrite of the
emitted fp32 model.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from pfnr_export.precisions.fp32 import fp32
from pfnr_runtime.errors import UsageError

Precision = Callable[[onnx.ModelProto], onnx.ModelProto]
PRECISIONS: dict[str, Precision] = {"fp32": fp32}


def choose_precision(name: str) -> Precision:
    """The precision of this name; a UsageError lists the known ones."""
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r} is none of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
