"""Exact: the model as it was emitted, proved to give the same bytes on every engine (`pfnr_export.exactness`)."""

from __future__ import annotations

from pfnr_export.precisions.base import Precision
from pfnr_runtime.artifact.contract import EXACT

PRECISION = Precision(EXACT, "the same bytes on every engine, proved")
