"""The time table and the session scalar: golden values, from an independent high-precision formula."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from pfnr_runtime.video.time_table import embed_times, session_scalar, time_table


@pytest.mark.parametrize(("frames", "scalar"), [(7, 0.5), (132, 0.625), (600, 0.015625)])
def test_the_time_table_is_the_papers_formula(frames: int, scalar: float) -> None:
    table = time_table(frames, scalar, 1.25, 40)
    assert (table.shape, table.dtype) == ((frames, 160), np.float64)
    with mpmath.workdps(60):
        for k in (0, 1, frames // 2, frames - 1):
            for half, position in ((0, mpmath.mpf(k) / frames), (80, mpmath.mpf(scalar))):
                for i in range(40):
                    angle = position * mpmath.mpf("1.25") ** i * mpmath.pi
                    # Angles reach 19,000, so their own rounding is worth some 2e-12.
                    assert abs(table[k, half + 2 * i] - mpmath.sin(angle)) < 1e-11
                    assert abs(table[k, half + 2 * i + 1] - mpmath.cos(angle)) < 1e-11


def test_golden_values() -> None:
    table = time_table(16, session_scalar(2), 1.25, 40)
    # sin and cos of (5/16)·π, (5/16)·1.25·π; (5/16)·1.25^39·π; then the same of 3/4. From mpmath, 30 digits.
    golden = {
        0: 0.83146961230254523708,
        1: 0.55557023301960222474,
        2: 0.94154406518302077841,
        78: 0.61051794489161622537,
        80: 0.70710678118654752440,
        159: 0.94939965372003176092,
    }
    for column, value in golden.items():
        assert table[5, column] == pytest.approx(value, abs=1e-15 if column in (0, 1, 2, 80) else 1e-11)


def test_a_row_does_not_depend_on_how_many_are_asked_for() -> None:
    whole = time_table(9, 0.25, 1.25, 40)
    assert np.array_equal(embed_times(np.arange(9) / 9, 0.25, 1.25, 40), whole)
    for k in range(9):
        assert np.array_equal(embed_times(np.array([k / 9]), 0.25, 1.25, 40)[0], whole[k])


def test_session_scalars_are_distinct_and_fixed_by_the_index_alone() -> None:
    first = [session_scalar(k) for k in range(7)]
    assert first == [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]
    many = [session_scalar(k) for k in range(4096)]
    assert len(set(many)) == 4096
    assert all(0 < s < 1 for s in many)
    # Spread over the interval however many there are.
    for count in (8, 100, 1000):
        assert np.diff(np.sort([0, *many[:count], 1])).max() <= 2 / count
