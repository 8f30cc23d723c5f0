"""Probabilities of integer weights as integer tables: a ladder of Laplace distributions, one per scale class.

A weight w lies on a grid of step 1, and w before rounding is Laplace distributed. With s = exp(-1 / 2b) for a
Laplace distribution of scale b:

    P(0) = 1 - s        P(+k) = P(-k) = s^(2k-1) · (1 - s²) / 2        mean |w| = m = s / (1 - s²)

so that s follows from the mean magnitude alone: s = (√(1 + 4m²) - 1) / 2m. Class c has m = 2^(c/4) / 2048,
from 1/2048 to 27. Every table is made by whole-number arithmetic, so that all machines have the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

PRECISION = 14  # probabilities are multiples of 2^-14
TOTAL = 1 << PRECISION
CLASSES = 64
CLASSES_AN_OCTAVE = 4
SMALLEST_OCTAVE = -11  # class 0 has a mean magnitude of 2^-11
MOST = 127  # largest magnitude with a symbol; larger ones escape
SYMBOLS = 256  # room for a class: 0, then +1, -1, +2, -2, ..., and the escape
ESCAPE = 2 * MOST + 1

_UNIT = 1 << 60
_QUARTERS = (1 << 32, 5107605667, 6074001000, 7223245205)  # 2^(i/4), in units of 2^-32, rounded down


@dataclass(frozen=True)
class Tables:
    """For every class: what a symbol takes of the range, where its part begins, and which symbol a slot is.

    frequency, start: int64 [CLASSES · SYMBOLS]. symbol: uint8 [CLASSES · TOTAL].
    """

    frequency: NDArray[np.int64]
    start: NDArray[np.int64]
    symbol: NDArray[np.uint8]


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables of all classes, made once."""
    frequency = np.array([_frequencies(c) for c in range(CLASSES)], np.int64)
    start = np.cumsum(frequency, axis=1) - frequency
    numbers = np.tile(np.arange(SYMBOLS, dtype=np.uint8), CLASSES)
    return Tables(frequency.reshape(-1), start.reshape(-1), np.repeat(numbers, frequency.reshape(-1)))


@lru_cache(maxsize=1)
def symbol_bits() -> NDArray[np.float32]:
    """What a symbol costs in bits, float32 [CLASSES, SYMBOLS]; infinite where a class has no such symbol."""
    frequency = tables().frequency.reshape(CLASSES, SYMBOLS)
    with np.errstate(divide="ignore"):
        return (PRECISION - np.log2(frequency)).astype(np.float32)


@lru_cache(maxsize=1)
def largest() -> NDArray[np.int64]:
    """The largest magnitude with a symbol, int64 [CLASSES]."""
    frequency = tables().frequency.reshape(CLASSES, SYMBOLS)
    return np.asarray((frequency[:, :ESCAPE] > 0).sum(axis=1) // 2, np.int64)


def _frequencies(scale_class: int) -> list[int]:
    """Whole numbers for every symbol of one class, TOTAL together."""
    octave, quarter = divmod(scale_class, CLASSES_AN_OCTAVE)
    shift = 28 + octave + SMALLEST_OCTAVE  # units of 2^-32 to units of 2^-60
    mean = _QUARTERS[quarter] << shift
    s = (isqrt(_UNIT * _UNIT + 4 * mean * mean) - _UNIT) * _UNIT // (2 * mean)
    square = s * s // _UNIT
    one = s * (_UNIT - square) // (2 * _UNIT)  # P(+1)
    counts = [0] * SYMBOLS
    tail = _UNIT * s // _UNIT  # P(|w| ≥ k)
    for magnitude in range(1, MOST + 1):
        count = (one * TOTAL + _UNIT // 2) // _UNIT
        if count == 0:
            break
        counts[2 * magnitude - 1] = counts[2 * magnitude] = count
        one = one * square // _UNIT
        tail = tail * square // _UNIT
    counts[ESCAPE] = max(1, (tail * TOTAL + _UNIT // 2) // _UNIT)
    counts[0] = TOTAL - sum(counts)
    return counts
