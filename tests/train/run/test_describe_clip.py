"""What a session remembers of its clip's times and colours is what the written video then has."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import write_video
from helpers.synthetic import moving_pattern

from pfnr_runtime.sinks import open_sink
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord
from pfnr_train.clips import read_clip
from pfnr_train.run.add_session import describe_clip

TICKS = [0, 2000, 2040, 2080, 2500, 2540, 5000]  # milliseconds; the last frame stays for 40


def make(path: Path, ticks: list[int], **tags: int) -> Path:
    """A small H.264 video with a frame at each of `ticks`, tagged so."""
    return write_video(path, moving_pattern(len(ticks), 64, 36), pts=ticks, max_b_frames=0, **tags)


def write_again(clip: Any, record: VideoRecord, path: Path) -> Path:
    with open_sink(str(path), record, record.frames) as sink:
        for i, picture in enumerate(clip.frames):
            sink.write(Frame(picture, i, record.pts_seconds(i), record.duration_seconds(i)))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_uneven_times_go_from_clip_to_record_to_video(suffix: str, tmp_path: Path) -> None:
    clip = read_clip(make(tmp_path / f"in{suffix}", TICKS))
    record = describe_clip(clip, "uneven")
    assert record.times is not None
    assert [record.pts(i) * 1000 for i in range(len(TICKS))] == TICKS
    again = describe_clip(read_clip(write_again(clip, record, tmp_path / "out.mp4")), "again")
    assert [again.pts(i) for i in range(len(TICKS) + 1)] == [record.pts(i) for i in range(len(TICKS) + 1)]


def test_even_times_are_a_rate_alone(tmp_path: Path) -> None:
    record = describe_clip(read_clip(make(tmp_path / "in.mkv", [0, 40, 80, 120, 160])), "even")
    assert (record.fps, record.times) == (25, None)


@pytest.mark.parametrize(
    ("tags", "unusual"),
    [
        ({"color_trc": 16, "color_primaries": 9, "colorspace": 9}, "transfer smpte2084"),
        ({"color_trc": 18, "color_primaries": 9, "colorspace": 9}, "transfer arib-std-b67"),
        ({"color_trc": 1, "color_primaries": 12, "colorspace": 1}, "primaries smpte432"),
        ({"color_trc": 1, "color_primaries": 1, "colorspace": 1}, ""),
        ({"color_trc": 2, "color_primaries": 2, "colorspace": 2}, ""),
    ],
)
def test_transfer_and_primaries_go_from_clip_to_record_to_video(
    tags: dict[str, int], unusual: str, tmp_path: Path
) -> None:
    clip = read_clip(make(tmp_path / "in.mp4", [0, 40, 80], **tags))
    record = describe_clip(clip, "coloured")
    assert record.colour.unusual == unusual
    again = describe_clip(read_clip(write_again(clip, record, tmp_path / "out.mp4")), "again")
    assert again.colour == record.colour


def test_a_held_last_frame_is_held_again(tmp_path: Path) -> None:
    times = FrameTimes.from_durations(Fraction(1, 1000), [100] * 5 + [3000])
    pictures = moving_pattern(6, 64, 36)
    record = VideoRecord("held", 6, 64, 36, Fraction(10), times=times)
    with open_sink(str(tmp_path / "held.mp4"), record, 6) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, i, record.pts_seconds(i), record.duration_seconds(i)))
    found = describe_clip(read_clip(tmp_path / "held.mp4"), "held")
    assert (found.fps, found.duration) == (10, Fraction(35, 10))
