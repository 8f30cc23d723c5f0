"""Tensors on a grid: whole numbers times a power of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

LARGEST = 1 << 24  # whole numbers up to here are exact in float32
MOST_EXPONENT = 100  # so that no product leaves the range of normal float32 numbers


@dataclass(frozen=True)
class Quantised:
    """A tensor on a grid. integers: int32 of any shape, at most 2^24 in magnitude.

    exponent: the step is 2^exponent, -100 to 100. A ValueError for anything else.
    """

    integers: NDArray[np.int32]
    exponent: int

    def __post_init__(self) -> None:
        if abs(self.exponent) > MOST_EXPONENT:
            raise ValueError(f"a step of 2^{self.exponent}: -{MOST_EXPONENT} to {MOST_EXPONENT} are allowed")
        if self.integers.dtype != np.int32:
            raise ValueError(f"integers of type {self.integers.dtype}: int32 is needed")
        if self.integers.size and not -LARGEST <= self.integers.min() <= self.integers.max() <= LARGEST:
            raise ValueError(f"a weight of more than {LARGEST} steps: choose a larger step")

    def values(self) -> NDArray[np.float32]:
        """The numbers themselves, float32, exact."""
        values = self.integers.astype(np.float32)
        values *= np.float32(2.0**self.exponent)
        return values


def step_exponent(values: NDArray[np.floating[Any]]) -> int:
    """The exponent of the largest power of two that all values are multiples of; 0 for zeros alone."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not mantissa.size:
        return 0
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int((exponent - 53 + zeros).min())


Tensor = Union[Quantised, NDArray[np.float32]]  # noqa: UP007 (Python 3.10 cannot join an NDArray with |)
Tensors = Mapping[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]
