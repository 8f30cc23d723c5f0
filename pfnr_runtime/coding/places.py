"""The places of a tensor in the order in which they are coded, as coordinates along at most four axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_PLANES = 32
PLACES_A_PLANE = 64  # at least so many on average

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
        """Flat indices of the places, in planes of about equal size; a plane is coded at once.

        Plane p holds the places whose coordinates add up to p modulo the number of planes, so that each plane
        touches every row, column and channel: what it tells helps with all places of the planes after it.
        """
        count = max(1, min(MOST_PLANES, self.size // PLACES_A_PLANE))
        total = np.zeros((1,) * len(self.axes), np.int64)
        for axis, length in enumerate(self.axes):
            total = total + np.arange(length).reshape([-1 if i == axis else 1 for i in range(len(self.axes))])
        plane = (total % count).astype(np.uint8).reshape(-1)
        order = np.argsort(plane, kind="stable")
        bounds = np.cumsum(np.bincount(plane, minlength=count))
        for begin, end in zip((0, *bounds[:-1]), bounds, strict=True):
            yield order[begin:end]
