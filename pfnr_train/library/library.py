"""The library in memory: shared weights, and per session its packed masks, head and record."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_runtime.errors import LibraryError
from pfnr_runtime.video.time_table import time_table
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.record import SessionRecord
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights

Array = NDArray[np.float32]
Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class Session:
    """One finished session.

    masks: by tensor name, bits packed eight to a byte (numpy.packbits order). head: by name, float32.
    time_table: float32 [N, 4L] only where the network was trained with another table than ours (imported
    sessions), else None.
    """

    record: SessionRecord
    masks: dict[str, Bits]
    head: dict[str, Array]
    time_table: Array | None = None

    def mask(self, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The mask of a tensor, unpacked to its shape."""
        size = int(np.prod(shape))
        return np.unpackbits(self.masks[name], count=size).astype(np.bool_).reshape(shape)


@dataclass(frozen=True)
class Library:
    """A library of videos in one network. Values are never changed in place; adding gives a new library."""

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

    def assemble(self, index: int) -> SessionWeights:
        """Everything session `index` decodes with, unchecked."""
        session = self.sessions[index]
        weights = {name: torch.from_numpy(w) for name, w in self.weights.items()}
        masks = {name: torch.from_numpy(session.mask(name, w.shape)) for name, w in self.weights.items()}
        head = {name: torch.from_numpy(w) for name, w in session.head.items()}
        return SessionWeights(self.config, weights, masks, head, self.table(index))

    def table(self, index: int) -> Array:
        """The time table of session `index`: float32 [N, 4L]."""
        session = self.sessions[index]
        if session.time_table is not None:
            return session.time_table
        return session_table(self.config, session.record.video.frames, session.record.scalar)

    def used(self) -> dict[str, NDArray[np.bool_]]:
        """By tensor name, which weights some session uses and are therefore frozen."""
        used = {name: np.zeros(w.shape, np.bool_) for name, w in self.weights.items()}
        for session in self.sessions:
            for name, w in self.weights.items():
                used[name] |= session.mask(name, w.shape)
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
        """A new library with one more session and the shared weights as its training left them.

        A LibraryError if a weight that an earlier session uses differs in a single bit.
        """
        for name, used in self.used().items():
            before, after = self.weights[name][used], weights[name][used]
            if before.tobytes() != after.tobytes():
                raise LibraryError(f"training changed frozen weights of {name}; the library is left as it was")
        return replace(self, weights=weights, sessions=(*self.sessions, session))


def session_table(config: ModelConfig, frames: int, scalar: float) -> Array:
    """The time table of a session of `frames` frames with this s, rounded once from float64: float32 [N, 4L]."""
    return time_table(frames, scalar, config.embed_base, config.embed_levels).astype(np.float32)
