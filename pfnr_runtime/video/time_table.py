"""The time embedding of PFNR, in float64.

For a frame k of N and the session's scalar s, the network's input is [PE(k/N), PE(s)] with

    PE(p) = [sin(b^i π p), cos(b^i π p)]   for i = 0 .. L-1,   sine and cosine interleaved

(arXiv 2306.11305, section 3; b = 1.25 and L = 40 there). b^39 π is about 19,000, so evaluating in float32 or in a
different order gives a different embedding: artifacts carry the table made here, never the formula. An artifact of
continuous time takes one row as its input instead, and `TimeEmbedding` makes rows for any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BASE, MAX_LEVELS = 10.0, 256  # keeps every frequency within float64
TABLE_GRID = 2.0**11  # steps per unit in a coarse table
PLACE_FRACTION = 6  # places of a canvas network's window are multiples of 2^-6 cells


def positional_encoding(positions: NDArray[np.float64], base: float, levels: int) -> NDArray[np.float64]:
    """PE of each position: float64 [n] → float64 [n, 2·levels], interleaved sine and cosine."""
    frequencies = base ** np.arange(levels, dtype=np.float64) * np.pi
    angles = np.asarray(positions, dtype=np.float64)[:, None] * frequencies[None, :]
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), 2 * levels)


def time_table(frames: int, scalar: float, base: float, levels: int) -> NDArray[np.float64]:
    """The network's input for every frame of a session: float64 [N, 4·levels]."""
    times = np.arange(frames, dtype=np.float64) / frames
    return embed_times(times, scalar, base, levels)


def grid_time_table(frames: int, scalar: float, base: float, levels: int) -> NDArray[np.float32]:
    """`time_table` rounded to multiples of 2^-11, which decoders can recompute: float32 [N, 4·levels].

    Sines of different libraries differ in their last bits, about 2^-53, so every machine rounds to the same
    multiple unless a value lies that close to a midpoint; a digest over the table would reveal it.
    """
    return _on_grid(time_table(frames, scalar, base, levels)).astype(np.float32)


def cosine_table(frames: int, terms: int) -> NDArray[np.float32]:
    """The first cosines of time: cos(π (k + 1/2) i / N) of frame k and i = 0 .. terms − 1, float32 [N, terms].

    On the grid of `grid_time_table`. Cosines from the N-th on, which N frames cannot tell apart, are 0.
    """
    turns = (2 * np.arange(frames)[:, None] + 1) * np.arange(terms)[None, :] % (4 * frames)
    rows = np.cos(np.pi * turns / (2 * frames))
    return _on_grid(np.where(np.arange(terms) < frames, rows, 0.0)).astype(np.float32)


def _on_grid(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.rint(rows * TABLE_GRID) / TABLE_GRID, np.float64)


def embed_times(times: NDArray[np.float64], scalar: float, base: float, levels: int) -> NDArray[np.float64]:
    """The network's input at any times in [0, 1) of a session: float64 [n] → float64 [n, 4·levels]."""
    session = positional_encoding(np.array([scalar]), base, levels)
    return np.concatenate(
        [positional_encoding(times, base, levels), np.repeat(session, len(times), axis=0)], axis=1
    )


@dataclass(frozen=True)
class TimeEmbedding:
    """The time embedding of one session.

    - base: b, over 1 and up to `MAX_BASE`.
    - levels: L, 1 to `MAX_LEVELS`.
    - scalar: the session's s, 0 to 1.
    - coarse: whether rows lie on the grid of `grid_time_table`.

    A ValueError names one that is out of range.
    """

    base: float
    levels: int
    scalar: float
    coarse: bool = False

    def __post_init__(self) -> None:
        if not 1 < self.base <= MAX_BASE:
            raise ValueError(f"embedding base {self.base} is outside 1 to {MAX_BASE:g}")
        if not 1 <= self.levels <= MAX_LEVELS:
            raise ValueError(f"{self.levels} embedding levels is outside 1 to {MAX_LEVELS}")
        if not 0 <= self.scalar <= 1:
            raise ValueError(f"session scalar {self.scalar} is outside 0 to 1")

    @property
    def width(self) -> int:
        """Values per row: 4·L."""
        return 4 * self.levels

    def rows(self, positions: NDArray[Any], frames: int) -> NDArray[np.float32]:
        """The network's input at positions in a video of `frames` frames, frame k at k: [n] → [n, 4·L].

        Computed in float64 and rounded once, like `time_table`: at whole numbers the rows equal the table's.
        """
        times = np.asarray(positions, dtype=np.float64) / frames
        rows = embed_times(times, self.scalar, self.base, self.levels)
        return (_on_grid(rows) if self.coarse else rows).astype(np.float32)


def session_scalar(session: int) -> float:
    """The scalar s of a session's embedding: the van der Corput sequence in base 2, in (0, 1).

    1/2, 1/4, 3/4, 1/8, ...: evenly spread however many sessions follow, and determined by the session's index
    alone, so that an old video never changes as its library grows.
    """
    value, step, n = 0.0, 0.5, session + 1
    while n:
        value += step * (n & 1)
        step /= 2
        n >>= 1
    return value
