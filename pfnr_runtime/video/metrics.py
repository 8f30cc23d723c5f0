"""Mean squared error and PSNR of 8-bit pictures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# An exact frame has infinite PSNR, which would break means; it counts as one wrong step in a 720p frame.
PSNR_CEILING = 112.0


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared difference of two uint8 arrays of one shape, in squared steps of 255.

    Exact: summed in integers. A ValueError for other types, unequal shapes or empty arrays.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"both arrays must be uint8, not {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError("empty arrays have no mean")
    difference = a.astype(np.int16) - b
    squares = difference.astype(np.int32) ** 2
    return float(squares.sum(dtype=np.int64)) / a.size


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape: 10 log10(255² / mse), inf if equal.

    One figure over all samples; a video's PSNR is usually the mean of its frames' PSNRs.
    """
    return psnr_of_mse(mse(a, b))


def capped_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """`psnr`, at most `PSNR_CEILING`: what means over frames are taken of."""
    return min(PSNR_CEILING, psnr(a, b))


def psnr_of_mse(error: float) -> float:
    """PSNR in dB of a mean squared difference in squared steps of 255, inf for 0."""
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def mse_of_psnr(decibels: float) -> float:
    """The inverse of `psnr_of_mse`."""
    return 255**2 / 10 ** (decibels / 10)
