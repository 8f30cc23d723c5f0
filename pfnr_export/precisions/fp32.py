"""Single precision: the model as it was emitted."""

from __future__ import annotations

from pfnr_export.precisions.base import Converted, Precision, Subject


def _convert(subject: Subject) -> Converted:
    return Converted(subject.model, {})


PRECISION = Precision("fp32", "as trained", None, _convert)
