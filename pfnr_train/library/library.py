"""The library in memory: its network, and per session its record and the values it decodes with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import CodingError, LibraryError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import Materialised, SessionValues
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights

Array = NDArray[np.float32]


# A chain of parents is no longer, so that materialising costs the same however many sessions a library has.
MOST_GENERATIONS = 4


@dataclass(frozen=True)
class Session:
    """One finished session: its record, and the values it decodes with."""

    record: SessionRecord
    values: SessionValues


@dataclass(frozen=True)
class Library:
    """A library of videos in one network. Values are never changed in place; adding gives a new library.

    weights: the pool that sessions with shared values have their values from, by tensor name; empty where no
    session has shared values.
    """

    config: ModelConfig
    weights: dict[str, Array]
    sessions: tuple[Session, ...] = ()

    def find(self, which: str | int) -> int:
        """Index of a session by index or name; a LibraryError lists the sessions there are."""
        names = [s.record.video.name for s in self.sessions]
        text = str(which)
        if text in names:
            return names.index(text)
        if text.isdecimal() and len(text) <= 9 and int(text) < len(names):
            return int(text)
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(names)) or "none: train one first"
        raise LibraryError(f"session {text[:200]!r} does not exist in this library; it has {known}")

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
        return any(session.values.uses_pool for session in self.sessions)

    def used(self) -> dict[str, NDArray[np.bool_]]:
        """By tensor name, which of the pool's values some session uses and are therefore frozen."""
        used = {name: np.zeros(w.shape, np.bool_) for name, w in self.weights.items()}
        for session in self.sessions:
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
        sessions = (*self.sessions, session)
        if not session.values.uses_pool:
            grown = replace(self, weights=self.weights if self.shares else {}, sessions=sessions)
            grown.check_parents(len(self.sessions))
            return grown
        for name, used in self.used().items():
            before, after = self.weights[name][used], weights[name][used]
            if before.tobytes() != after.tobytes():
                raise LibraryError(f"training changed frozen weights of {name}; the library is left as it was")
        return replace(self, weights=weights, sessions=sessions)
