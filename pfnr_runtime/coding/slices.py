"""Which slices of a tensor hold values; the others, such as columns of units that training emptied, are left out.

A tensor is seen along at most three axes (from the third on, they are one). Along each, one bit per slice says
whether it holds anything, where saying so is cheaper than coding the zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.numbers import Bytes
from pfnr_runtime.coding.places import Integers
from pfnr_runtime.errors import CodingError

KERNEL_AXES = 4  # a convolution's weight: output channels, input channels, rows, columns
ZEROS_A_BIT = 32  # so many zeros of empty slices are about as dear as a bit that says that a slice is empty


def joined(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The at most three axes that a tensor is seen along."""
    return shape if len(shape) < 3 else (*shape[:2], math.prod(shape[2:]))


@dataclass(frozen=True)
class Slices:
    """Which slices of a tensor are kept. axes: for each joined axis a mask, bool [length], or None for all."""

    shape: tuple[int, ...]
    axes: tuple[NDArray[np.bool_] | None, ...]

    @property
    def kept_shape(self) -> tuple[int, ...]:
        """The shape of what is kept: the tensor's own where all is."""
        if all(mask is None for mask in self.axes):
            return self.shape
        pairs = zip(joined(self.shape), self.axes, strict=True)
        return tuple(length if mask is None else int(mask.sum()) for length, mask in pairs)

    def take(self, values: Integers) -> Integers:
        """The kept values, int64 [product of kept_shape], of all."""
        return np.ascontiguousarray(values.reshape(joined(self.shape))[self._index()]).reshape(-1)

    def spread(self, kept: NDArray[np.int32]) -> NDArray[np.int32]:
        """All values, int32 [size], with zeros where nothing was kept."""
        if all(mask is None for mask in self.axes):
            return kept
        values = np.zeros(joined(self.shape), np.int32)
        values[self._index()] = kept.reshape(self.kept_shape)
        return values.reshape(-1)

    def _index(self) -> tuple[NDArray[np.int64], ...]:
        pairs = zip(joined(self.shape), self.axes, strict=True)
        return np.ix_(*(np.arange(length) if mask is None else mask.nonzero()[0] for length, mask in pairs))


def choose_slices(values: Integers, shape: tuple[int, ...]) -> Slices:
    """The slices worth keeping of these values, which are not all zero. The emptiest axis is tried first."""
    lengths = joined(shape)
    there = values.reshape(lengths) != 0
    left = list(lengths)
    masks: list[NDArray[np.bool_] | None] = [None] * len(lengths)
    full = [there.any(axis=tuple(i for i in range(len(lengths)) if i != axis)) for axis in range(len(lengths))]
    # A kernel's first axis stays whole, so that it can still be split into channels and their sub-pixels.
    axes = range(1 if len(shape) == KERNEL_AXES else 0, len(lengths))
    for axis in sorted(axes, key=lambda a: full[a].mean()):
        a_slice = math.prod(left) // left[axis]
        empty = lengths[axis] - int(full[axis].sum())
        if empty * a_slice > ZEROS_A_BIT * lengths[axis]:
            masks[axis] = full[axis]
            left[axis] = lengths[axis] - empty
    return Slices(shape, tuple(masks))


def write_slices(slices: Slices) -> bytes:
    """A byte with a bit for each axis that has a mask, then the masks, the highest bit of a byte first."""
    flags = sum(1 << axis for axis, mask in enumerate(slices.axes) if mask is not None)
    return bytes([flags]) + b"".join(np.packbits(mask).tobytes() for mask in slices.axes if mask is not None)


def read_slices(source: Bytes, shape: tuple[int, ...]) -> Slices:
    """The inverse of `write_slices`."""
    flags, lengths = source.byte(), joined(shape)
    if flags >> len(lengths):
        raise CodingError(f"masks for axes that a tensor of shape {list(shape)} does not have")
    masks: list[NDArray[np.bool_] | None] = []
    for axis, length in enumerate(lengths):
        if flags >> axis & 1:
            packed = np.frombuffer(source.take((length + 7) // 8), np.uint8)
            masks.append(np.unpackbits(packed, count=length).astype(np.bool_))
        else:
            masks.append(None)
    return Slices(shape, tuple(masks))
