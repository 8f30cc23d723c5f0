"""PSNR and mean squared error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pfnr_runtime.video.metrics import mse, psnr

GREY = np.full((4, 6, 3), 100, np.uint8)


def test_equal_pictures_are_infinitely_close() -> None:
    assert mse(GREY, GREY) == 0
    assert psnr(GREY, GREY) == math.inf


def test_one_step_everywhere_is_48_db() -> None:
    assert mse(GREY, GREY + np.uint8(1)) == 1
    assert psnr(GREY, GREY + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)


def test_the_widest_difference_is_0_db() -> None:
    black, white = np.zeros((5, 5), np.uint8), np.full((5, 5), 255, np.uint8)
    assert mse(black, white) == 255**2
    assert psnr(black, white) == 0


def test_it_agrees_with_float64() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    assert mse(a, b) == pytest.approx(np.mean((a.astype(float) - b) ** 2), rel=1e-14)


@pytest.mark.parametrize("other", [GREY.astype(np.float32), GREY[:2]])
def test_arrays_that_cannot_be_compared_are_refused(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8|shapes"):
        psnr(GREY, other)
