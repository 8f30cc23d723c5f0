"""One session of a library, the short of it that lists show, and many of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
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


class SessionList(Sequence[Session]):
    """The sessions of a library that are not all in memory. Never changed in place."""

    @abstractmethod
    def number_of(self, name: str) -> int | None:
        """The number of the session of this name; None where there is none."""

    @abstractmethod
    def summaries(self) -> list[SessionSummary]:
        """The short of every session, in order."""

    @abstractmethod
    def with_added(self, session: Session) -> SessionList:
        """These sessions and one more."""

    @abstractmethod
    def with_last(self, session: Session) -> SessionList:
        """These sessions with the last one, which is in no file yet, replaced."""
