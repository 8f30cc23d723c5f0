"""Exact: the model as emitted, proved to give the same bytes on every engine (see `pfnr_export.exactness`)."""

from __future__ import annotations

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_runtime.artifact import contract


def _convert(subject: Subject) -> Converted:
    return Converted(subject.model, {})


PRECISION = Precision(contract.EXACT, "the same bytes on every engine, proved", None, _convert)
