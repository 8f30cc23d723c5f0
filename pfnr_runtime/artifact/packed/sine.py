"""Sines and cosines that are the same bits on every machine.

Mathematical libraries differ in the last bit of a sine. Here everything is a sum or product of float64 numbers,
one rounding each, as IEEE 754 defines them and NumPy's elementwise operations compute them. The error is below
1e-15, so that float32 numbers and grids made from it are those of any good library but for one in many millions.
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST_ANGLE = float(1 << 20)
_PI = Fraction(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211707"
)
_PART_BITS = 30  # of each part of π/2: its product with a whole number below 2^21 is exact


def _parts(value: Fraction, count: int) -> list[float]:
    """The number as a sum of `count` floats of few bits, the largest first."""
    found = []
    for i in range(1, count + 1):
        unit = Fraction(1, 1 << (_PART_BITS * i - 1))
        part = value // unit * unit
        found.append(float(part))
        value -= part
    return found


_HALF_PI = _parts(_PI / 2, 4)
_SINE = [float(Fraction((-1) ** i, factorial(2 * i + 1))) for i in range(9)]
_COSINE = [float(Fraction((-1) ** i, factorial(2 * i))) for i in range(10)]


def sine_and_cosine(angles: Floats) -> tuple[Floats, Floats]:
    """Of angles in radians, float64 of any shape, below 2^20 in magnitude."""
    quarters = np.rint(angles * float(2 / _PI))
    rest = angles
    for part in _HALF_PI:
        rest = rest - quarters * part
    square = rest * rest
    sine, cosine = rest * _polynomial(square, _SINE), _polynomial(square, _COSINE)
    turn = quarters.astype(np.int64) & 3
    swapped = (turn & 1) == 1
    return (
        np.where(swapped, cosine, sine) * np.where(turn >= 2, -1.0, 1.0),
        np.where(swapped, sine, cosine) * np.where((turn == 1) | (turn == 2), -1.0, 1.0),
    )


def _polynomial(x: Floats, coefficients: list[float]) -> Floats:
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def time_rows(frames: int, scalar: float, base: float, levels: int, grid: int) -> Floats:
    """The time table of `pfnr_runtime.video.time_table`, made from these sines: float64 [frames, 4·levels].

    grid: rounded to multiples of 2^-grid; 0: not rounded.
    """
    powers = np.array([float(Fraction(base) ** i) for i in range(levels)]) * float(_PI)
    times = _encoding(np.arange(frames, dtype=np.float64) / frames, powers)
    session = _encoding(np.array([scalar]), powers)
    rows = np.concatenate([times, np.repeat(session, frames, axis=0)], axis=1)
    return np.asarray(np.rint(rows * 2.0**grid) / 2.0**grid if grid else rows, np.float64)


def cosine_rows(frames: int, terms: int, grid: int) -> Floats:
    """`pfnr_runtime.video.time_table.cosine_table`, made from these cosines: float64 [frames, terms]."""
    turns = (2 * np.arange(frames)[:, None] + 1) * np.arange(terms)[None, :] % (4 * frames)
    _, cosine = sine_and_cosine(float(_PI) * turns / (2 * frames))
    rows = np.where(np.arange(terms) < frames, cosine, 0.0)
    return np.asarray(np.rint(rows * 2.0**grid) / 2.0**grid, np.float64)


def _encoding(positions: Floats, powers: Floats) -> Floats:
    sine, cosine = sine_and_cosine(positions[:, None] * powers[None, :])
    return np.stack([sine, cosine], axis=-1).reshape(len(positions), 2 * len(powers))


def fourier_matrix(which: int, rows: int, columns: int, stride: int, placed: tuple[int, int]) -> Floats:
    """One of the four matrices of a Fourier block that is written as real products: columns in, rows in, rows
    out, columns out, as `pfnr_train.model.spectral.DftMatrices` defines them.

    rows, columns: of the map. placed: where the negative rows begin, in the input and in the output.
    """
    m1, m2 = rows // 2, columns // 2
    H, W = rows * stride, columns * stride
    if which == 0:
        cosine, sine = _angles(np.arange(m2), np.arange(columns), columns)
        return np.concatenate([cosine, -sine]) / (rows * columns)
    if which == 1:
        cosine, sine = _angles(_kept(m1, placed[0]), np.arange(rows), rows)
        pairs = [np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)]
        return np.stack(pairs, axis=1).reshape(4 * m1, 2 * rows)
    if which == 2:
        cosine, sine = _angles(np.arange(H), _kept(m1, placed[1]), H)
        real, imaginary = [cosine, -sine, -sine, -cosine], [sine, cosine, cosine, -sine]
        both = [np.stack(real, axis=-1), np.stack(imaginary, axis=-1)]
        return np.stack(both, axis=1).reshape(2 * H, 8 * m1)
    cosine, sine = _angles(np.arange(W), np.arange(m2), W)
    weight = np.where(np.arange(m2) == 0, 1.0, 2.0)
    return np.concatenate([cosine * weight, -sine * weight], axis=1)


def _kept(m1: int, negative: int) -> NDArray[np.int64]:
    return np.concatenate([np.arange(m1), np.arange(negative, negative + m1)])


def _angles(left: NDArray[np.int64], right: NDArray[np.int64], period: int) -> tuple[Floats, Floats]:
    turns = (left[:, None] * right[None, :]) % period
    sine, cosine = sine_and_cosine(2 * float(_PI) * turns / period)
    return cosine, sine
