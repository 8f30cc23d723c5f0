"""The kinds of values a session can have. Adding one is adding a file and a line here."""

from __future__ import annotations

from pfnr_train.library.values.base import Materialised, SessionValues
from pfnr_train.library.values.coded import CodedValues
from pfnr_train.library.values.places import PlacedValues
from pfnr_train.library.values.shared import SharedValues

KINDS: dict[str, type[SessionValues]] = {kind.kind: kind for kind in (SharedValues, PlacedValues, CodedValues)}

__all__ = ["KINDS", "CodedValues", "Materialised", "PlacedValues", "SessionValues", "SharedValues"]
