"""One session of a library, and the short of it that lists show."""

from __future__ import annotations

from dataclasses import dataclass

from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SessionValues


@dataclass(frozen=True)
class SessionSummary:
    """What lists show of a session. kind: of its values. parent: a session's index. size: its values in bytes."""

    record: SessionRecord
    kind: str
    parent: int | None
    size: int


@dataclass(frozen=True)
class Session:
    """One finished session: its record, and the values it decodes with."""

    record: SessionRecord
    values: SessionValues

    def summary(self) -> SessionSummary:
        """The short of it."""
        return SessionSummary(self.record, self.values.kind, self.values.parent, sum(self.values.sizes().values()))
