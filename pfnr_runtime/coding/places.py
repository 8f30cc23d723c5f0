"""The places of a tensor in the order in which they are coded, as coordinates along at most four axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS_OF_A_TENSOR = 64
PLANE_ENDS = (1, 2, 3, 4, *range(6, 65, 2))
PLACES_A_PLANE = 64  # at least so many before the first plane ends

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """A tensor seen along at most four axes.

    shape: of the tensor. split: the first axis is seen as two, the inner one so long (1: not split), such as
    the r² sub-pixels of a convolution in front of a pixel shuffle. From the third on, axes are seen as one.
    """

    shape: tuple[int, ...]
    split: int = 1

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        first, *others = self.shape or (1,)
        joined = [*others[:1], math.prod(others[1:])] if len(others) > 1 else others
        whole = (first // self.split, self.split) if self.split > 1 else (first,)
        return (*whole, *joined)

    @property
    def size(self) -> int:
        """How many places there are."""
        return math.prod(self.shape)

    def planes(self) -> Iterator[Integers]:
        """Flat indices of the places, in planes that grow; a plane is coded at once.

        A place's plane follows from the sum of its coordinates modulo a power of two, so that each plane touches
        every row, column and channel: what it tells helps with all places of the planes after it.
        """
        ends = [end for end in PLANE_ENDS if end * self.size >= PARTS_OF_A_TENSOR * PLACES_A_PLANE]
        total = np.zeros((1,) * len(self.axes), np.int64)
        for axis, length in enumerate(self.axes):
            total = total + np.arange(length).reshape([-1 if i == axis else 1 for i in range(len(self.axes))])
        part = (total % PARTS_OF_A_TENSOR).astype(np.uint8).reshape(-1)
        order = np.argsort(part, kind="stable")
        bounds = np.cumsum(np.bincount(part, minlength=PARTS_OF_A_TENSOR))
        begin = 0
        for end in ends or [PARTS_OF_A_TENSOR]:
            yield order[begin : bounds[end - 1]]
            begin = int(bounds[end - 1])
