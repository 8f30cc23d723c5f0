"""Places in a video and rates as people type them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from helpers.tiny_artifacts import video

from pfnr_runtime.errors import UsageError
from pfnr_runtime.playback.moments import parse_moment, parse_span

LONG = video(frames=100_000, fps=Fraction(25))


@pytest.mark.parametrize(
    ("text", "frame"),
    [("0", 0), ("1.5", 37), ("0.04", 1), ("17f", 17), ("1:02", 1550), ("1:00:00", 90_000), ("4000", 100_000)],
)
def test_a_moment_is_a_frame(text: str, frame: int) -> None:
    assert parse_moment(text, LONG) == frame


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "f", "1e3", "nan", "1,5", "#3", "٣"])
def test_anything_else_is_an_error_that_shows_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match="write seconds"):
        parse_moment(text, LONG)


def test_a_span_is_half_open() -> None:
    assert parse_span("2f", "5f", LONG) == range(2, 5)
    assert parse_span(None, None, LONG) == range(100_000)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("100001f", None, "beyond the end of 'tiny', which has 100000 frames, 4000 seconds"),
        ("4000", None, "nothing to play from 4000 to the end"),
        (None, "4000.1", "4000.1 is beyond the end"),
        ("5", "5", "nothing to play from 5 to 5"),
        ("5", "4", "nothing to play from 5 to 4"),
    ],
)
def test_a_span_outside_the_video_is_an_error(start: str | None, end: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_span(start, end, LONG)
