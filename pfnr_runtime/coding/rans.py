"""Interleaved rANS: many coders side by side, one NumPy operation for all of them.

Asymmetric numeral systems (Duda, arXiv 1311.2540) with 32-bit states and 16-bit words, in lanes as in Giesen's
"Interleaved entropy coders" (arXiv 1402.3392). Symbol i of a run goes to lane i mod L; every run begins at lane
0. In each step the lanes that run low take the next words, in the order of the lanes. A stream is the L states
(uint32, little-endian), then the words (uint16, little-endian). A lane costs two bytes, so small streams have
few lanes, and large ones many, that one step may do more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.laplace import PRECISION, SYMBOLS, TOTAL, Tables, tables
from pfnr_runtime.errors import CodingError

LOW = 1 << 16  # a state lies in [LOW, 2^32) between two symbols
FEWEST_LANES, MOST_LANES = 4, 4096
STEPS = 4096  # about so many steps for a stream of any size


def lanes_for(symbols: int) -> int:
    """How many lanes a stream of so many symbols has: a power of two."""
    return max(FEWEST_LANES, min(MOST_LANES, 1 << max(symbols // STEPS, 1).bit_length() - 1))


def encode(runs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> bytes:
    """One stream of all runs. A run: classes and symbols, int64 [n] each."""
    lanes = lanes_for(sum(len(symbols) for _, symbols in runs))
    model = tables()
    state = np.full(lanes, LOW, np.int64)
    blocks: list[NDArray[np.uint16]] = []
    for classes, symbols in reversed(runs):
        key = classes * SYMBOLS + symbols
        frequency, start = model.frequency[key], model.start[key]
        if frequency.size and not frequency.all():
            raise ValueError("a symbol that its class does not have")
        for begin in range((len(key) - 1) // lanes * lanes, -1, -lanes):
            count, first = frequency[begin : begin + lanes], start[begin : begin + lanes]
            x = state[: len(count)]
            full = x >= count << (32 - PRECISION)
            blocks.append(x[full].astype(np.uint16))
            x = np.where(full, x >> 16, x)
            whole = x // count
            state[: len(count)] = (whole << PRECISION) + (x - whole * count) + first
    words = np.concatenate(blocks[::-1]) if blocks else np.empty(0, np.uint16)
    return state.astype("<u4").tobytes() + words.astype("<u2").tobytes()


class RunDecoder:
    """Reads the runs of one stream in the order they were given to `encode`.

    data: the stream. symbols: of all runs together. A CodingError where the stream is cut or damaged.
    """

    def __init__(self, data: bytes | memoryview, symbols: int) -> None:
        self._lanes = lanes_for(symbols)
        if len(data) < 4 * self._lanes or len(data) % 2:
            raise CodingError(f"coded weights of {len(data)} bytes, which no stream of {symbols} symbols has")
        self._state = np.frombuffer(data[: 4 * self._lanes], "<u4").astype(np.int64)
        self._words = np.frombuffer(data[4 * self._lanes :], "<u2").astype(np.int64)
        self._next = 0
        if (self._state < LOW).any():
            raise CodingError("the coded weights begin with an impossible state")

    def run(self, classes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The symbols of a run, uint8 [n]. classes: int64 [n]."""
        symbols = np.empty(len(classes), np.uint8)
        lanes, model = self._lanes, tables()
        slots, keys = classes * TOTAL, classes * SYMBOLS
        for begin in range(0, len(classes), lanes):
            end = min(begin + lanes, len(classes))
            self._step(model, slots[begin:end], keys[begin:end], symbols[begin:end])
        return symbols

    def _step(
        self, model: Tables, slots: NDArray[np.int64], keys: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> None:
        x = self._state[: len(out)]
        slot = x & (TOTAL - 1)
        found = model.symbol.take(slots + slot)
        out[:] = found
        key = keys + found
        x >>= PRECISION
        x *= model.frequency.take(key)
        x += slot
        x -= model.start.take(key)
        low = (x < LOW).nonzero()[0]
        if low.size:
            words = self._words[self._next : self._next + low.size]
            if words.size < low.size:
                raise CodingError("the coded weights end too soon")
            x[low] = (x[low] << 16) | words
            self._next += low.size

    def finish(self) -> None:
        """A CodingError unless every word was read and every lane ends where the encoder began."""
        if self._next != len(self._words) or (self._state != LOW).any():
            raise CodingError("the coded weights do not end where they should, so they are damaged")
