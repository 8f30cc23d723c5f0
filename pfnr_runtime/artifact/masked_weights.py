"""Applying masks on the host: shared weights and a session's packed masks give the session's weights.

Each weight is kept bit for bit where its mask is 1 and is +0 elsewhere, like `Where(mask, weight, 0)` in the
graph. A table of all 256 bytes expands mask bits to float32 words, and a bitwise AND applies them: about two
thirds of a nanosecond per weight, without ever unpacking the whole mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.lifted_graph import SharedWeight
from pfnr_runtime.artifact.sidecar import Sidecar

# For every byte of a packed mask, its eight words of all ones or all zeros: uint64 [256, 4].
WORDS = (np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * np.uint32(0xFFFFFFFF)).view(np.uint64)
# Bytes of one row of WORDS: the eight float32 weights of a mask byte.
ROW = 32
# Mask bytes spread at a time. Their words, 256 KB, are still in the cache when the AND reads them.
CHUNK = 8192


class MaskedWeights:
    """The weights of one session at a time, in arrays that are allocated once and refilled at each switch.

    arrays: float32, by engine input name.
    """

    def __init__(self, weights: tuple[SharedWeight, ...]) -> None:
        self._weights = weights
        self.arrays: dict[str, NDArray[np.float32]] = {w.masked: np.empty(w.shape, np.float32) for w in weights}

    def load(self, sidecar: Sidecar) -> None:
        """Fill every array for a session that was checked against this graph."""
        for weight in self._weights:
            fill_masked(self.arrays[weight.masked], weight.data, sidecar.masks[weight.mask])


def fill_masked(out: NDArray[np.float32], weights: NDArray[np.uint8], bits: NDArray[np.uint8]) -> None:
    """out ← weights where their bit is 1, else +0. out: float32 of any shape, contiguous. weights: their
    bytes, uint8 [4·n], aligned or not. bits: uint8 [ceil(n/8)] in numpy.packbits order.
    """
    target = out.reshape(-1).view(np.uint8)
    words = np.empty((min(CHUNK, len(bits)), ROW // 8), np.uint64)
    spread = words.view(np.uint8).reshape(-1)
    for start in range(0, len(bits), CHUNK):
        part = bits[start : start + CHUNK]
        np.take(WORDS, part, axis=0, out=words[: len(part)], mode="clip")
        kept = target[start * ROW : (start + CHUNK) * ROW]
        np.bitwise_and(spread[: len(kept)], weights[start * ROW : (start + CHUNK) * ROW], out=kept)
