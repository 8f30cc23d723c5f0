"""A session's source is known again by the digest of its frames, however they were read at the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.clip_surgery import join_streams, spoil_packet
from helpers.clips import write_image, write_lossless, write_video
from helpers.libraries import made_record, small_config
from helpers.synthetic import moving_pattern

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import Clip, read_clip
from pfnr_train.evaluation.sources import source_frames
from pfnr_train.library.record import SessionRecord
from pfnr_train.run.add_session import describe_clip


def record_of(clip: Clip) -> SessionRecord:
    """The record of a session that was trained on `clip`."""
    video = describe_clip(clip, "video")
    path = str(clip.info.path)
    return replace(made_record(small_config(), 0), video=video, source_path=path, source_sha256=clip.sha256)


@pytest.mark.parametrize("size", [None, (40, 22)])
@pytest.mark.parametrize("scaling", ["lanczos", "average"])
@pytest.mark.parametrize("reading", ["exact", "fast"])
def test_a_clip_is_known_again_however_it_was_read(tmp_path: Path, size, scaling, reading) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    clip = read_clip(path, slice(1, 5), size, scaling=scaling, reading=reading)
    assert np.array_equal(source_frames(record_of(clip), tmp_path / "library.pfnr"), clip.frames)


def test_the_former_reading_is_another_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    assert read_clip(path).sha256 != read_clip(path, reading="fast").sha256


def test_clips_in_rgb_have_the_digest_they_had(tmp_path: Path) -> None:
    lossless = write_lossless(tmp_path / "a.mkv", 6)
    assert read_clip(lossless).sha256 == read_clip(lossless, reading="fast").sha256
    (tmp_path / "images").mkdir()
    for i, picture in enumerate(moving_pattern(3, 64, 48)):
        write_image(tmp_path / "images" / f"{i}.png", picture)
    assert read_clip(tmp_path / "images").sha256 == read_clip(tmp_path / "images", reading="fast").sha256


def test_another_clip_is_refused(tmp_path: Path) -> None:
    record = record_of(read_clip(write_video(tmp_path / "a.mp4", 6)))
    other = write_video(tmp_path / "b.mp4", moving_pattern(6, 64, 48, 1))
    with pytest.raises(ClipError, match="are not those that 'video' was trained on"):
        source_frames(record, tmp_path / "library.pfnr", other)
    with pytest.raises(ClipError, match="has 4 frames"):
        source_frames(record, tmp_path / "library.pfnr", write_video(tmp_path / "c.mp4", 4))


def test_the_stream_that_was_chosen_is_found(tmp_path: Path) -> None:
    parts = [write_lossless(tmp_path / f"{k}.mkv", moving_pattern(4, 64, 48, k)) for k in range(3)]
    path = join_streams(tmp_path / "all.mkv", [(part, k == 0) for k, part in enumerate(parts)])
    clip = read_clip(path, stream=2)
    assert np.array_equal(source_frames(record_of(clip), tmp_path / "library.pfnr"), clip.frames)


def test_damage_that_was_tolerated_is_no_obstacle_and_damage_since_then_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    path = write_video(tmp_path / "a.avi", noise, "mjpeg", "yuvj420p")
    before = record_of(read_clip(path))
    spoil_packet(path, 4)
    clip = read_clip(path, tolerate_damage=True)
    assert np.array_equal(source_frames(record_of(clip), tmp_path / "library.pfnr"), clip.frames)
    with pytest.raises(ClipError, match="damaged at frame 4"):
        source_frames(before, tmp_path / "library.pfnr")
