"""The table of times: what it holds, what it refuses, how it is written, and what a record makes of it."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from helpers.tiny_artifacts import video
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.record import VideoRecord

MS = Fraction(1, 1000)
SLIDES = FrameTimes.from_durations(MS, [3000, 40, 40, 40, 880])
durations = st.lists(st.integers(1, 10**9), min_size=1, max_size=40)


def slides(**changes: object) -> VideoRecord:
    return video(frames=5, fps=SLIDES.rate, times=SLIDES, **changes)


@given(durations, st.fractions(Fraction(1, 10**6), 1000, max_denominator=10**6))
def test_json_gives_the_same_table_back(ticks: list[int], base: Fraction) -> None:
    table = FrameTimes.from_durations(base, ticks)
    assert FrameTimes.from_json(json.loads(json.dumps(table.to_json())), len(ticks)) == table


@given(durations)
def test_every_frame_is_on_screen_from_its_start_up_to_the_next(ticks: list[int]) -> None:
    table = FrameTimes.from_durations(MS, ticks)
    for index, length in enumerate(ticks):
        assert table.index_at(table.start(index)) == index
        assert table.index_at(table.start(index + 1) - MS / 2) == index
        assert table.duration_of(index) == length * MS
    with pytest.raises(ValueError, match="outside"):
        table.index_at(table.duration)


def test_equal_neighbours_take_no_room() -> None:
    assert SLIDES.to_json() == {"time_base": "1/1000", "durations": "3000 40*3 880"}
    even = FrameTimes.from_durations(Fraction(1001, 30000), [1] * 100_000)
    assert even.to_json()["durations"] == "1*100000"
    assert even.even
    assert not SLIDES.even


def test_a_slice_begins_at_0_and_keeps_each_frames_duration() -> None:
    assert SLIDES[1:4].ticks == (0, 40, 80, 120)
    assert SLIDES[::-2].ticks == (0, 880, 920, 3920)
    assert SLIDES.select([0, 0]).duration == 6
    with pytest.raises(ValueError, match="every frame"):
        SLIDES[2:2]


@pytest.mark.parametrize(
    ("base", "ticks", "word"),
    [
        (Fraction(0), (0, 1), "time base"),
        (Fraction(1, 10**10), (0, 1), "time base"),
        (MS, (0,), "the first 0"),
        (MS, (1, 2), "the first 0"),
        (MS, (0, 5, 5), "frame 1 from tick 5 to 5"),
        (MS, (0, 5, 3), "frame 1 from tick 5 to 3"),
        (MS, (0, 1.5), "whole number"),
        (MS, (0, 2**53 + 1), "up to"),
    ],
)
def test_what_is_no_table_is_refused_by_name(base: Fraction, ticks: tuple[int, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        FrameTimes(base, ticks)


def test_a_table_too_long_for_a_file_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="over 524288"):
        FrameTimes.from_durations(MS, [33, 34] * (524288 // 6 + 1))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"time_base": "1/1000"},
        {"time_base": "1/0", "durations": "40*5"},
        {"time_base": "1e999999999", "durations": "40*5"},
        {"time_base": "1/1000", "durations": [40] * 5},
        {"time_base": "1/1000", "durations": "40*9999999"},
        {"time_base": "1/1000", "durations": "40*4"},
        {"time_base": "1/1000", "durations": "40*5 "},
        {"time_base": "1/1000", "durations": "0*5"},
        {"time_base": "1/1000", "durations": "40*5", "more": 1},
    ],
)
def test_a_hostile_table_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"time|duration|frame"):
        FrameTimes.from_json(value, 5)
    with pytest.raises(ValueError, match=r"time|duration|frame"):
        VideoRecord.from_json(slides().to_json() | {"times": value})


def test_a_record_without_a_table_is_written_as_before_there_were_tables() -> None:
    assert "times" not in video().to_json()
    assert VideoRecord.from_json(video().to_json()) == video()


def test_a_record_answers_from_its_table() -> None:
    record = slides()
    assert VideoRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert (record.fps, record.duration) == (Fraction(5, 4), 4)
    assert [record.pts_seconds(i) for i in range(6)] == [0, 3, 3.04, 3.08, 3.12, 4]
    assert [record.duration_seconds(i) for i in range(5)] == [3, 0.04, 0.04, 0.04, 0.88]
    assert [record.index_at(t) for t in (0, 2.999, 3.0, 3.04, 3.12, 3.999)] == [0, 0, 1, 2, 4, 4]
    with pytest.raises(ValueError, match="outside"):
        record.index_at(4.0)


def test_a_record_with_a_table_keeps_a_rate_for_what_has_no_times() -> None:
    record = video(frames=5, fps=Fraction(25), times=SLIDES)
    assert (record.duration, record.select([1, 2]).fps, record.faster(Fraction(2)).fps) == (4, 25, 50)


def test_a_table_and_a_record_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="times of 5 frames in a video of 6"):
        video(frames=6, fps=SLIDES.rate, times=SLIDES)


def test_a_record_of_some_frames_at_another_speed_or_rate() -> None:
    record = slides()
    assert record.select([4, 1]).times == FrameTimes.from_durations(MS, [880, 40])
    assert record.select([4, 1]).duration == Fraction(92, 100)
    assert record.faster(Fraction(2)).duration == 2
    assert record.at_rate(Fraction(10)).times is None
    assert video().select(range(3)).duration == Fraction(3, 25)
    assert video().faster(Fraction(1, 2)).fps == Fraction(25, 2)
