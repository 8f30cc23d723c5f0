"""Pacing is arithmetic: when a frame is due, and which one is the first that is not too late."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.playback.clock import SteadyPace, TablePace, first_on_time, share_over
from pfnr_runtime.playback.route import Route
from pfnr_runtime.video.frame_times import FrameTimes

PACE = SteadyPace(anchor=100.0, step=10, period=0.5)
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
    pace = SteadyPace(anchor, 0, period)
    ready = anchor + later
    first = first_on_time(pace, step, ready)
    slack = 1e-6 * (1 + period)
    assert first >= step
    assert pace.due(first + 1) > ready - slack
    assert first == step or pace.due(first) <= ready + slack


@given(st.floats(0, 1))
def test_the_share_of_a_frames_time_that_is_over(share: float) -> None:
    assert share_over(PACE, 12, PACE.due(12) + share * PACE.period) == pytest.approx(share, abs=1e-9)
    assert share_over(PACE, 12, 0.0) == 0
    assert share_over(PACE, 12, 1e6) == 1


SLIDES = FrameTimes.from_durations(Fraction(1, 1000), [3000, 40, 40, 40, 880])
# Frames 2, 3, 4, then 1 to 4 again and again; step 10 is the first.
LOOP = Route(0, 0, first=2, base=10, start=1, stop=5, loop=True)


def test_frames_of_a_table_are_due_when_the_source_showed_them() -> None:
    whole = Route(0, 0, first=0, base=0, start=0, stop=5, loop=False)
    pace = TablePace(100.0, 0, 1.0, whole, SLIDES)
    assert [pace.due(step) for step in range(7)] == pytest.approx([100, 103, 103.04, 103.08, 103.12, 104, 104])
    assert [pace.step_at(t) for t in (90, 100.1, 102.9, 103.05, 103.5, 104.1)] == [0, 0, 0, 2, 4, 5]
    double = TablePace(100.0, 0, 2.0, whole, SLIDES)
    assert double.due(1) == pytest.approx(101.5)
    assert double.step_at(101.9) == 4


def test_a_loop_through_a_table_keeps_each_frames_duration() -> None:
    pace = TablePace(50.0, 11, 1.0, LOOP, SLIDES)
    waits = [pace.due(step + 1) - pace.due(step) for step in range(10, 21)]
    assert waits == pytest.approx([0.04, 0.04, 0.88, *[0.04, 0.04, 0.04, 0.88] * 2])


@given(st.integers(10, 10_000), st.floats(0.001, 0.999))
def test_the_step_on_screen_in_a_loop_is_the_one_that_was_due_last(step: int, share: float) -> None:
    pace = TablePace(50.0, 11, 1.0, LOOP, SLIDES)
    assert pace.step_at(pace.due(step) + share * (pace.due(step + 1) - pace.due(step))) == step
