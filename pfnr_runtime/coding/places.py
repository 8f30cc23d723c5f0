"""The places of a tensor in the order in which they are coded, as coordinates along at most four axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = 64  # a part holds the places whose coordinates add up to the same number modulo this
PLANE_ENDS = (1, 2, 3, 4, *range(6, 65, 2))
PLACES_A_PLANE = 64  # at least so many before the first plane ends

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Plane:
    """Places that are coded at once: flat indices, of the parts from `first` up to `last`."""

    places: Integers
    first: int
    last: int


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

    def planes(self) -> Iterator[Plane]:
        """The places in planes, in the order in which they are coded; a plane is coded at once.

        A place's part follows from the sum of its coordinates, so that each part touches every row, column and
        channel: what it tells helps with all places of the planes after it. The first planes are one part each.
        """
        ends = [end for end in PLANE_ENDS if end * self.size >= PARTS * PLACES_A_PLANE]
        part = residues(self.axes) & PARTS - 1
        order = np.argsort(part, kind="stable")
        bounds = (0, *np.cumsum(np.bincount(part, minlength=PARTS)))
        first = 0
        for last in ends or [PARTS]:
            yield Plane(order[bounds[first] : bounds[last]], first, last)
            first = last


def residues(lengths: tuple[int, ...]) -> NDArray[np.uint8]:
    """The sum of the coordinates of every place, modulo 256, which parts divide: uint8 [product of lengths]."""
    total = np.zeros((), np.uint8)
    for length in lengths:
        total = total[..., None] + np.arange(length).astype(np.uint8)
    return total.reshape(-1)
