"""The library in memory: its network, and per session its record and the values it decodes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import CodingError, LibraryError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.session import Session, SessionList, SessionSummary
from pfnr_train.library.values import Materialised
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights

Array = NDArray[np.float32]


NAMED_IN_ERRORS = 20  # sessions

# A chain of parents is no longer, so that materialising costs the same however many sessions a library has.
MOST_GENERATIONS = 4


@dataclass(frozen=True)
class Library:
    """A library of videos in one network. Values are never changed in place; adding gives a new library.

    weights: the pool that sessions with shared values have their values from, by tensor name; empty where no
    session has shared values. sessions: read from their file when asked for, where its format allows that.
    """

    config: ModelConfig
    weights: dict[str, Array]
    sessions: Sequence[Session] = ()

    def find(self, which: str | int) -> int:
        """Index of a session by index or name; a LibraryError lists the sessions there are."""
        text, count = str(which), len(self.sessions)
        if (number := self.number_of(text)) is not None:
            return number
        if text.isdecimal() and len(text) <= 9 and int(text) < count:
            return int(text)
        some = range(min(count, NAMED_IN_ERRORS))
        known = ", ".join(f"{i} ({self.sessions[i].record.video.name})" for i in some) or "none: train one first"
        more = f" and {count - len(some)} more" if count > len(some) else ""
        raise LibraryError(f"session {text[:200]!r} does not exist in this library; it has {known}{more}")

    def number_of(self, name: str) -> int | None:
        """The index of the session of this name; None where there is none."""
        if isinstance(self.sessions, SessionList):
            return self.sessions.number_of(name)
        return next((i for i, s in enumerate(self.sessions) if s.record.video.name == name), None)

    def summaries(self) -> list[SessionSummary]:
        """The short of every session, in order."""
        if isinstance(self.sessions, SessionList):
            return self.sessions.summaries()
        return [session.summary() for session in self.sessions]

    def session_weights(self, index: int) -> SessionWeights:
        """Everything session `index` decodes with; a LibraryError if it is not what its record says."""
        session, found = self.sessions[index], self.assemble(index)
        if weights_digest(found) != session.record.weights_sha256:
            raise LibraryError(
                f"session {index} ({session.record.video.name}): its weights do not match the digest the library "
                "recorded when it was trained; the file is damaged, restore it from a copy"
            )
        return found

    def check_digests(self) -> None:
        """A LibraryError names the first session that is not what its record says."""
        for index in range(len(self.sessions)):
            self.session_weights(index)

    def assemble(self, index: int) -> SessionWeights:
        """Everything session `index` decodes with, its digest unchecked. A LibraryError if it cannot be had."""
        return self.materialise(index).session_weights(self.config, self.table(index))

    def materialise(self, index: int) -> Materialised:
        """The network of session `index`; a LibraryError if it cannot be had."""
        self.check_parents(index)
        session = self.sessions[index]
        try:
            found = session.values.materialise(self.config, self.weights, lambda i: self.materialise(i).weights)
            for name, values in (found.weights | found.head).items():
                if not np.isfinite(values).all():
                    raise ValueError(f"{name} holds values that are not finite numbers")
            return found
        except (CodingError, ValueError) as error:
            raise LibraryError(
                f"session {index} ({session.record.video.name}): {str(error)[:200]}; restore the file from a copy"
            ) from None

    def generations(self, index: int) -> int:
        """How many sessions `index` needs to be materialised, itself included."""
        self.check_parents(index)
        parent = self.sessions[index].values.parent
        return 1 if parent is None else 1 + self.generations(parent)

    def check_parents(self, index: int) -> None:
        """A LibraryError unless the parents of session `index` are earlier sessions, own, and not too many."""
        name, chain = self.sessions[index].record.video.name, [index]
        while (parent := self.sessions[chain[-1]].values.parent) is not None:
            if not 0 <= parent < chain[-1]:
                raise LibraryError(f"session {index} ({name}): its parent {parent} is not an earlier session")
            if self.sessions[parent].values.uses_pool:
                raise LibraryError(f"session {index} ({name}): its parent {parent} has no values of its own")
            chain.append(parent)
            if len(chain) > MOST_GENERATIONS:
                raise LibraryError(
                    f"session {index} ({name}) comes after {len(chain) - 1} parents or more, and "
                    f"{MOST_GENERATIONS - 1} are allowed; name a parent nearer to the beginning"
                )

    def table(self, index: int) -> Array:
        """The time table of session `index`: float32 [N, 4L]."""
        record = self.sessions[index].record
        return self.sessions[index].values.table(self.config, record.video.frames, record.scalar)

    @property
    def shares(self) -> bool:
        """Whether some session has its values from the pool."""
        return bool(self.weights) and any(session.values.uses_pool for session in self.sessions)

    @property
    def rewritten(self) -> bool:
        """Whether adding a session writes all others again."""
        return not isinstance(self.sessions, SessionList)

    def used(self) -> dict[str, NDArray[np.bool_]]:
        """By tensor name, which of the pool's values some session uses and are therefore frozen."""
        used = {name: np.zeros(w.shape, np.bool_) for name, w in self.weights.items()}
        for session in self.sessions if used else ():
            for name, mask in session.values.pool_masks(self.config).items():
                used[name] |= mask
        return used

    def as_of(self, count: int) -> Library:
        """The library as it was after its first `count` sessions, as far as that can still be known.

        Weights that no session had used then are 0: nothing could decode with them, and later sessions may have
        changed them.
        """
        earlier = replace(self, sessions=self.sessions[:count])
        used = earlier.used()
        return replace(earlier, weights={n: np.where(used[n], w, np.float32(0)) for n, w in self.weights.items()})

    def with_session(self, weights: dict[str, Array], session: Session) -> Library:
        """A new library with one more session and the pool as its training left it.

        weights: the pool; ignored for a session that owns its values. A LibraryError if a weight that an
        earlier session uses differs in a single bit, or the session's parents cannot be.
        """
        if not session.values.uses_pool:
            pool = self.weights if self.shares else {}
            grown = replace(self, weights=pool, sessions=_with_added(self.sessions, session))
            grown.check_parents(len(self.sessions))
            return grown
        for name, used in self.used().items():
            before, after = self.weights[name][used], weights[name][used]
            if before.tobytes() != after.tobytes():
                raise LibraryError(f"training changed frozen weights of {name}; the library is left as it was")
        return replace(self, weights=weights, sessions=(*self.sessions, session))

    def with_last(self, session: Session) -> Library:
        """A new library with its last session, which is in no file yet, replaced."""
        if isinstance(self.sessions, SessionList):
            return replace(self, sessions=self.sessions.with_last(session))
        return replace(self, sessions=(*self.sessions[:-1], session))


def _with_added(sessions: Sequence[Session], session: Session) -> Sequence[Session]:
    return sessions.with_added(session) if isinstance(sessions, SessionList) else (*sessions, session)
