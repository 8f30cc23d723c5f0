"""Rates and tables of times: from when frames are shown, whatever the header says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from helpers.clip_surgery import hold_last_of_apng, hold_last_of_gif
from helpers.clips import write_lossless, write_video

from pfnr_train.clips import probe, read_clip
from pfnr_train.clips.timing import FrameClock

MILLISECONDS = Fraction(1, 1000)


def clock(starts, durations=None, stated=(), base=MILLISECONDS, next_start=None):
    durations = [40] * len(starts) if durations is None else durations
    return FrameClock(list(starts), durations, base, tuple(map(Fraction, stated)), next_start).timing()


def ticks(clip):
    return [int(t * clip.times.time_base * 1000) for t in clip.times.ticks]


@pytest.mark.parametrize(
    ("gap", "stated", "fps"), [(40, 1000, 25), (1000, 25, 1), (20, 25, 50), (40, 24, 25), (500, 30, 2)]
)
def test_a_header_whose_rate_the_frames_contradict_does_not_count(tmp_path, gap, stated, fps):
    path = write_lossless(tmp_path / "a.mkv", 12, rate=stated, pts=[i * gap for i in range(12)])
    assert probe(path).fps == fps
    clip = read_clip(path)
    assert (clip.fps, clip.times, clip.info.duration) == (fps, None, Fraction(12, fps))
    if probe(path).fps != stated:
        assert clip.info.frames == 12


def test_a_contradicted_header_is_named_in_a_note():
    timing = clock(range(0, 3000, 40), stated=(1000, 25))
    assert timing.fps == 25
    assert "its header says 1000 frames per second, the times of its frames 25" in timing.notes[0]


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, 120, *(Fraction(n * 1000, 1001) for n in (24, 30, 60))])
def test_rates_survive_times_that_are_rounded_to_milliseconds(rate):
    starts = [round(i * 1000 / rate) for i in range(400)]
    assert clock(starts).fps == rate
    assert clock(starts, stated=(rate,)).times is None


def test_the_jitter_of_a_camera_is_no_table():
    jitter = np.random.default_rng(0).integers(-3, 4, 300)
    starts = [round(i * 1001 / 30) + int(j) for i, j in enumerate(jitter)]
    timing = clock([s - starts[0] for s in starts], stated=(Fraction(30000, 1001),))
    assert (timing.fps, timing.times, timing.notes) == (Fraction(30000, 1001), None, ())


def test_a_rate_that_drifts_or_a_frame_that_is_missing_makes_a_table():
    drifting = [round(40 * i + i * i / 50) for i in range(200)]
    assert clock(drifting, stated=(25,)).times is not None
    one_gone = [40 * i for i in range(200) if i != 100]
    timing = clock(one_gone, stated=(25,))
    assert timing.times is not None
    assert timing.times.ticks == (*one_gone, 8000)


def test_frames_at_uneven_times_keep_them(tmp_path):
    starts = [0, 40, 80, 200, 240, 280, 500, 540]
    clip = read_clip(write_lossless(tmp_path / "a.mkv", 8, pts=starts))
    assert ticks(clip)[:-1] == starts
    assert ticks(clip)[-1] == 580
    assert clip.info.duration == clip.times.duration == Fraction(29, 50)
    assert any("uneven" in note for note in clip.info.notes)


def test_a_range_has_the_times_of_its_own_frames(tmp_path):
    path = write_lossless(tmp_path / "a.mkv", 8, pts=[0, 40, 80, 200, 240, 280, 500, 540])
    assert ticks(read_clip(path, slice(2, 6))) == [0, 120, 160, 200, 420]
    even = read_clip(path, slice(3, 5))
    assert (even.fps, even.times) == (25, None)


def test_a_rate_that_is_given_counts(tmp_path):
    clip = read_clip(
        write_lossless(tmp_path / "a.mkv", 8, pts=[0, 40, 80, 200, 240, 280, 500, 540]), fps=Fraction(10)
    )
    assert (clip.fps, clip.times) == (10, None)


def test_frames_held_longer_than_their_own_durations_say_fill_their_gaps():
    timing = clock([0, 333, 667, 1000, 1333], durations=[33] * 5, stated=(30,))
    assert (timing.fps, timing.times) == (3, None)


def test_a_slow_slideshow_is_not_made_longer_by_a_guess():
    timing = clock([0, 3000, 6000], stated=(25,))
    assert timing.fps == Fraction(1, 3)
    assert timing.times.duration == Fraction(6040, 1000)


@pytest.mark.parametrize(
    ("name", "codec", "hold"),
    [
        ("a.gif", "gif", lambda path: hold_last_of_gif(path, 300)),
        ("a.apng", "apng", lambda p: hold_last_of_apng(p, 3)),
    ],
)
def test_the_last_picture_of_an_animation_is_held_once(tmp_path, name, codec, hold):
    path = write_video(tmp_path / name, 10, codec, "rgb8" if codec == "gif" else "rgb24", rate=10)
    assert (read_clip(path).fps, read_clip(path).times) == (10, None)
    hold(path)
    clip = read_clip(path)
    assert clip.fps == 10
    assert ticks(clip) == [*range(0, 1000, 100), 3900]
    assert probe(path).fps == 10


def test_times_out_of_order_give_a_rate_and_a_note():
    timing = clock([80, 320, 240, 400, 160], stated=(50, Fraction(25, 2)))
    assert (timing.fps, timing.times) == (Fraction(25, 2), None)
    assert any("out of order" in note for note in timing.notes)


@pytest.mark.parametrize("starts", [[None, None, None], [0, None, 80], [0], []])
def test_without_times_the_header_counts(starts):
    assert clock(starts, stated=(30,)).fps == 30
    assert clock(starts).fps is None
