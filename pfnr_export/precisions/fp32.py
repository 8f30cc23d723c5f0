"""Single precision: the model as it was emitted."""

from __future__ import annotations

from pfnr_export.precisions.base import Precision

PRECISION = Precision("fp32", "as trained")
