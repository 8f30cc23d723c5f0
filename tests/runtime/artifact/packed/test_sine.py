"""Sines that are the same everywhere, and right."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pfnr_runtime.artifact.packed.sine import fourier_matrix, sine_and_cosine, time_rows
from pfnr_runtime.video.time_table import time_table
from pfnr_train.model.spectral import SpectralPlan, dft_matrices


def test_they_are_within_a_rounding_of_the_library_s() -> None:
    angles = np.concatenate([np.linspace(-1e6, 1e6, 100_001), np.linspace(-7, 7, 10_001)])
    sine, cosine = sine_and_cosine(angles)
    assert np.abs(sine - np.sin(angles)).max() < 1e-15
    assert np.abs(cosine - np.cos(angles)).max() < 1e-15


def test_their_bits_never_change() -> None:
    both = np.stack(sine_and_cosine(np.arange(4096) * 7.3125))
    assert hashlib.sha256(both.astype("<f8").tobytes()).hexdigest()[:16] == "be09375a7dd7a38c"


def test_time_tables_are_those_that_sessions_are_trained_with() -> None:
    expected = time_table(600, 0.375, 1.25, 40)
    np.testing.assert_array_equal(
        time_rows(600, 0.375, 1.25, 40, 0).astype(np.float32), expected.astype(np.float32)
    )
    np.testing.assert_array_equal(time_rows(600, 0.375, 1.25, 40, 11), np.rint(expected * 2048) / 2048)


@pytest.mark.parametrize("placement", ["centered", "reference"])
def test_fourier_matrices_are_those_of_the_network(placement: str) -> None:
    plan = SpectralPlan(9, 16, 5, placement)
    placed = int(plan.input_rows()[plan.m1]), int(plan.output_rows()[plan.m1])
    for which, matrix in enumerate(vars(dft_matrices(plan)).values()):
        made = fourier_matrix(which, plan.rows, plan.columns, plan.stride, placed)
        np.testing.assert_allclose(made, matrix, atol=1e-15)
