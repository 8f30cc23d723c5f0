"""Which stream of a file is read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.clip_surgery import join_streams
from helpers.clips import write_audio, write_lossless, write_video
from helpers.synthetic import moving_pattern

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import probe, read_clip

SMALL, LARGE = moving_pattern(6, 64, 48), moving_pattern(6, 96, 72)


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    """A small and a large clip."""
    return write_lossless(tmp_path / "small.mkv", SMALL), write_lossless(tmp_path / "large.mkv", LARGE)


@pytest.mark.parametrize(
    ("order", "defaults", "best"),
    [
        ("sl", (True, False), "s"),
        ("sl", (False, True), "l"),
        ("ls", (False, True), "s"),
        ("sl", (True, True), "l"),
        ("ls", (True, True), "l"),
        ("sl", (False, False), "l"),
    ],
)
def test_the_default_flag_comes_first_and_the_larger_picture_second(tmp_path, parts, order, defaults, best):
    files = {"s": parts[0], "l": parts[1]}
    path = join_streams(tmp_path / "both.mkv", [(files[k], d) for k, d in zip(order, defaults, strict=True)])
    clip = read_clip(path)
    assert np.array_equal(clip.frames, SMALL if best == "s" else LARGE)
    taken, other = order.index(best), order.index(best) ^ 1
    assert clip.info.stream == taken
    assert clip.info.others == (other,)
    size = {"s": "64×48", "l": "96×72"}
    assert clip.info.notes == (
        f"video stream {taken} ({size[order[taken]]} ffv1) is used; choose another with `stream`: "
        f"{other} ({size[order[other]]} ffv1)",
    )
    again = read_clip(path, stream=other)
    assert np.array_equal(again.frames, LARGE if best == "s" else SMALL)
    assert again.info.stream == other


def test_a_file_with_one_video_has_nothing_to_say(parts):
    info = probe(parts[0])
    assert (info.stream, info.others, info.notes) == (0, (), ())


def test_a_cover_is_never_the_video(tmp_path, parts):
    cover = write_lossless(tmp_path / "cover.mkv", moving_pattern(1, 128, 96))
    path = join_streams(tmp_path / "both.mkv", [(cover, True), (parts[0], False)])
    clip = read_clip(path)
    assert np.array_equal(clip.frames, SMALL)


def test_a_stream_that_is_not_there_is_refused_with_those_that_are(tmp_path, parts):
    path = join_streams(tmp_path / "both.mkv", [(parts[0], True), (parts[1], False)])
    with pytest.raises(
        ClipError, match=r"stream 7 is not a video; its video streams: 0 \(64×48 ffv1\), 1 \(96×72 ffv1\)"
    ):
        read_clip(path, stream=7)
    with pytest.raises(ClipError, match="its video streams: none"):
        read_clip(write_audio(tmp_path / "a.m4a"), stream=0)
    with pytest.raises(ClipError, match="has no stream 1"):
        read_clip(tmp_path, stream=1)


@pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="this PyAV encodes no AV1")
def test_an_avif_animation_is_a_clip(tmp_path):
    path = write_video(tmp_path / "a.avif", moving_pattern(8, 96, 64), "libsvtav1", rate=10, container="avif")
    clip = read_clip(path)
    assert clip.frames.shape == (8, 64, 96, 3)
    assert clip.fps == 10
