"""Counts and durations in headers: stale, unfinished or made up, they refuse nothing that is there."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from helpers.clip_surgery import overwrite, packet_spans, remux
from helpers.clips import write_lossless, write_video

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import probe, read_clip


def claim_frames(path, count):
    """Sets the two counts in the header of an AVI file."""
    data = path.read_bytes()
    overwrite(path, data.index(b"avih") + 8 + 16, struct.pack("<I", count))
    overwrite(path, data.index(b"strh") + 8 + 32, struct.pack("<I", count))


@pytest.mark.parametrize("count", [1, 5, 24, 1 << 30])
def test_an_avi_with_another_count_gives_all_that_is_there(tmp_path, count):
    path = write_video(tmp_path / "a.avi", 12, "mpeg4")
    whole = read_clip(path).frames
    claim_frames(path, count)
    clip = read_clip(path)
    assert np.array_equal(clip.frames, whole)
    assert (clip.fps, clip.info.duration) == (25, Fraction(12, 25))
    assert np.array_equal(read_clip(path, slice(7, 12)).frames, whole[7:])
    with pytest.raises(ClipError, match=r"has 12 frames \(0:12\)"):
        read_clip(path, slice(0, 13))


def test_an_avi_that_nobody_finished_is_read(tmp_path):
    path = write_video(tmp_path / "a.avi", 12, "mpeg4")
    claim_frames(path, 1 << 30)
    overwrite(path, 4, b"\xff\xff\xff\xff")
    assert len(read_clip(path).frames) == 12


def test_a_fragmented_mp4_gives_any_range(tmp_path):
    path = write_video(
        tmp_path / "a.mp4", 24, options={"g": "4"}, container_options={"movflags": "frag_keyframe+empty_moov"}
    )
    assert len(read_clip(path).frames) == 24
    assert len(read_clip(path, slice(6, 20)).frames) == 14


def test_a_stale_tag_refuses_nothing(tmp_path):
    made = write_lossless(tmp_path / "made.mkv", 12)
    # The writer refuses the name that it uses itself.
    path = remux(made, tmp_path / "a.mkv", lambda n, p: True, {"STALETAG-eng": "00:00:04.000000000"})
    overwrite(path, path.read_bytes().upper().index(b"STALETAG"), b"DURATION")
    assert len(read_clip(path).frames) == 12


def test_a_matroska_file_that_nobody_finished_is_read(tmp_path):
    path = write_lossless(tmp_path / "a.mkv", 12)
    whole = read_clip(path).frames
    overwrite(path, path.read_bytes().index(b"\x18\x53\x80\x67") + 4, b"\x01" + b"\xff" * 7)
    assert np.array_equal(read_clip(path).frames, whole)
    path.write_bytes(path.read_bytes()[: packet_spans(path)[-1][0] + 20])
    assert np.array_equal(read_clip(path).frames, whole[:-1])


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_finished_file_that_was_cut_between_two_frames_is_noticed(tmp_path, name):
    path = write_video(tmp_path / name, 24, "mjpeg", "yuvj420p")
    path.write_bytes(path.read_bytes()[: packet_spans(path)[12][0]])
    with pytest.raises(ClipError, match=r"cut short after 12 frames .*`frames=0:12`$"):
        read_clip(path)
    clip = read_clip(path, tolerate_damage=True)
    assert len(clip.frames) == 12
    assert any("damaged" in note for note in clip.info.notes)


def test_a_promise_that_nothing_else_confirms_is_a_note(tmp_path):
    path = write_video(tmp_path / "a.avi", 12, "mpeg4")
    claim_frames(path, 24)
    assert any("promises 24 frames and it has 12" in note for note in read_clip(path).info.notes)
    assert probe(path).frames == 24
