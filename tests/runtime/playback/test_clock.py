"""Pacing is arithmetic: when a frame is due, and which one is the first that is not too late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.playback.clock import Pace, first_on_time

PACE = Pace(anchor=100.0, step=10, period=0.5)
seconds = st.floats(0, 1e6)
periods = st.floats(1e-3, 10)


def test_frames_are_due_a_period_apart() -> None:
    assert [PACE.due(step) for step in (9, 10, 11, 14)] == [99.5, 100.0, 100.5, 102.0]


@pytest.mark.parametrize(
    ("step", "ready", "expected"),
    [(10, 99.0, 10), (10, 100.49, 10), (10, 100.5, 11), (10, 103.2, 16), (20, 103.2, 20)],
)
def test_the_first_on_time_is_the_one_on_screen_when_it_is_ready(step: int, ready: float, expected: int) -> None:
    assert first_on_time(PACE, step, ready) == expected


@given(seconds, periods, st.integers(0, 10**6), seconds)
def test_no_frame_is_skipped_that_would_be_in_time(anchor: float, period: float, step: int, later: float) -> None:
    pace = Pace(anchor, 0, period)
    ready = anchor + later
    first = first_on_time(pace, step, ready)
    slack = 1e-6 * (1 + period)
    assert first >= step
    assert pace.due(first + 1) > ready - slack
    assert first == step or pace.due(first) <= ready + slack


@given(st.floats(0, 1), periods)
def test_a_new_period_keeps_the_share_of_time_that_is_over(share: float, period: float) -> None:
    now = PACE.due(12) + share * PACE.period
    changed = PACE.with_period(period, 12, now)
    assert changed.due(13) - now == pytest.approx((1 - share) * period, abs=1e-9)
