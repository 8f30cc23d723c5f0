"""The sessions of a library of format 3 as a sequence, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from pfnr_train.library.appended.reader import AppendedFile
from pfnr_train.library.session import Session, SessionList, SessionSummary


class StoredSessions(SessionList):
    """The sessions in `file`, then those in `added`, which are not in it yet. Never changed in place."""

    def __init__(self, file: AppendedFile, added: tuple[Session, ...] = ()) -> None:
        self.file, self.added = file, added

    def __len__(self) -> int:
        return self.file.count + len(self.added)

    def __iter__(self) -> Iterator[Session]:
        for footer in reversed(self.file.footers()):
            yield self.file.read_session(footer)
        yield from self.added

    @overload
    def __getitem__(self, index: int) -> Session: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Session, ...]: ...

    def __getitem__(self, index: int | slice) -> Session | tuple[Session, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"session {index} of {len(self)}")
        return self.file.session(number) if number < self.file.count else self.added[number - self.file.count]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((self.file, self.added))

    def number_of(self, name: str) -> int | None:
        """See `SessionList`."""
        for number, session in enumerate(self.added, self.file.count):
            if session.record.video.name == name:
                return number
        return self.file.number_of(name)

    def summaries(self) -> list[SessionSummary]:
        """See `SessionList`; no tensors are read."""
        return [head.summary() for head in self.file.heads()] + [s.summary() for s in self.added]

    def with_added(self, session: Session) -> StoredSessions:
        """See `SessionList`."""
        return StoredSessions(self.file, (*self.added, session))

    def with_last(self, session: Session) -> StoredSessions:
        """See `SessionList`."""
        return StoredSessions(self.file, (*self.added[:-1], session))
