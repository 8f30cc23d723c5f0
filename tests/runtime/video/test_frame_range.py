"""Frame ranges as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.ranges import parse_frame_range, select_frames

BOUND = st.none() | st.integers(-99, 99)


@given(start=BOUND, stop=BOUND, step=st.none() | st.integers(1, 9) | st.integers(-9, -1))
def test_a_range_is_the_slice_it_looks_like(start: int | None, stop: int | None, step: int | None) -> None:
    text = ":".join("" if part is None else str(part) for part in (start, stop))
    if step is not None:
        text += f":{step}"
    assert parse_frame_range(text) == slice(start, stop, step)


@pytest.mark.parametrize("text", ["", "a:b", "1:2:3:4", "1-2", "1:2.5", "0x1:2", "1 2:3", "٣:٤", "9" * 30 + ":"])
def test_nonsense_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not A:B"):
        parse_frame_range(text)


def test_a_single_number_is_answered_with_the_range_for_it() -> None:
    with pytest.raises(UsageError, match="write 7:8"):
        parse_frame_range("7")


def test_step_zero_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="step 0"):
        parse_frame_range("1:2:0")


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        (":", range(10)),
        ("2:5", range(2, 5)),
        ("-3:", range(7, 10)),
        ("::4", range(0, 10, 4)),
        ("::-1", range(9, -1, -1)),
        ("0:10", range(10)),
    ],
)
def test_frames_are_chosen_half_open(text: str, frames: range) -> None:
    assert list(select_frames(text, 10)) == list(frames)


@pytest.mark.parametrize("text", ["0:11", "-11:", "10:12"])
def test_a_range_that_leaves_the_video_names_its_frames(text: str) -> None:
    with pytest.raises(UsageError, match="frames 0:10"):
        select_frames(text, 10)


@pytest.mark.parametrize("text", ["5:5", "6:2", "10:"])
def test_an_empty_range_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="selects none"):
        select_frames(text, 10)
