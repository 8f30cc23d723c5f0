"""Bytes destroyed in a clip: an error with the place and the ranges that avoid it, or a note."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.clip_surgery import overwrite, packet_spans, remux, spoil_packet
from helpers.clips import write_image, write_video
from helpers.synthetic import moving_pattern
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import probe, read_clip
from pfnr_train.clips.damage import Damage, DamageTracker, good_ranges


def noisy(frames: int) -> np.ndarray:
    """Pictures whose packets are large enough to be hit."""
    noise = np.random.default_rng(0).integers(-20, 20, (frames, 96, 128, 3))
    return np.clip(moving_pattern(frames, 128, 96).astype(int) + noise, 0, 255).astype(np.uint8)


CLIPS = {
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1", "options": {"level": "3", "slicecrc": "1", "g": "6"}},
    "h264.mp4": {"options": {"g": "6", "bf": "2"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "6"}},
    "h264.ts": {"options": {"g": "6"}},
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_spoilt_packet_is_placed_and_avoided_or_tolerated(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, noisy(24), **CLIPS[name])
    whole = read_clip(path).frames
    assert len(whole) == 24
    spoil_packet(path, 8)
    with pytest.raises(ClipError) as caught:
        read_clip(path)
    text = str(caught.value)
    assert "\n" not in text
    assert "damaged " in text
    assert "`tolerate_damage`" in text
    ranges = [part.split("`")[0].split(":") for part in text.split("`frames=")[1:]]
    assert ranges
    assert sum(int(b) - int(a) for a, b in ranges) >= 12
    tolerated = read_clip(path, tolerate_damage=True)
    assert any(note.startswith("damaged ") for note in tolerated.info.notes)
    assert len(tolerated.frames) >= 20
    assert read_clip(path, tolerate_damage=True).sha256 == tolerated.sha256
    for first, end in ((int(a), int(b)) for a, b in ranges):
        good = read_clip(path, slice(first, end))
        lost = 24 - len(tolerated.frames) if first else 0  # a picture that is not decoded has no number
        assert np.array_equal(good.frames, whole[first + lost : end + lost])
        assert not [note for note in good.info.notes if "damaged" in note]


def test_the_place_is_a_frame_and_a_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", noisy(12), **CLIPS["ffv1.mkv"])
    spoil_packet(path, 7)
    with pytest.raises(ClipError, match=r"damaged from frame 7 \(0\.28 s\) to 11|cut short after 7 frames"):
        read_clip(path)


def test_a_hole_in_a_matroska_file_is_placed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", noisy(24), **CLIPS["ffv1.mkv"])
    whole = read_clip(path).frames
    at = packet_spans(path)[10][0]
    overwrite(path, at - 4, bytes(200))
    with pytest.raises(ClipError) as caught:
        read_clip(path)
    end = int(str(caught.value).split("`frames=0:")[1].split("`")[0])
    assert 2 <= end <= 10
    assert np.array_equal(read_clip(path, slice(0, end)).frames, whole[:end])


def test_a_clip_without_its_first_key_frame_is_good_from_the_next_one_on(tmp_path: Path) -> None:
    made = write_video(tmp_path / "made.mkv", noisy(24), codec="mpeg4", options={"g": "8"})
    path = remux(made, tmp_path / "a.mkv", lambda n, packet: n >= 3)
    with pytest.raises(ClipError, match=r"damaged from frame 0 .* `frames=5:21`$"):
        read_clip(path)
    assert np.array_equal(read_clip(path, slice(5, 21)).frames, read_clip(made, slice(8, 24)).frames)


def test_where_the_decoder_itself_waits_for_a_key_frame_a_clip_begins_there(tmp_path: Path) -> None:
    made = write_video(
        tmp_path / "made.webm", noisy(24), codec="libvpx-vp9", options={"g": "8", "lag-in-frames": "0"}
    )
    keys = [i for i, p in enumerate(packet_keys(made)) if p]
    path = remux(made, tmp_path / "a.webm", lambda n, packet: n >= 1)
    clip = read_clip(path)
    assert np.array_equal(clip.frames, read_clip(made, slice(keys[1], None)).frames)
    assert any(f"{keys[1] - 1} packets before its first whole picture" in note for note in clip.info.notes)
    assert probe(path).fps == 25


def packet_keys(path: Path) -> list[bool]:
    import av

    with av.open(str(path)) as file:
        return [p.is_keyframe for p in file.demux(video=0) if p.size]


def test_a_spoilt_image_is_held_over_where_damage_is_tolerated(tmp_path: Path) -> None:
    made = moving_pattern(5, 64, 48)
    for i, picture in enumerate(made):
        write_image(tmp_path / f"{i}.png", picture)
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 20)
    with pytest.raises(ClipError, match=r"damaged at frame 3 \(3\.png.*`frames=0:3`$"):
        read_clip(tmp_path)
    clip = read_clip(tmp_path, tolerate_damage=True)
    assert np.array_equal(clip.frames, made[[0, 1, 2, 2, 4]])
    assert any("damaged at frame 3" in note for note in clip.info.notes)


def track(frames, damaged, keys):
    """The damage where packets are decoded in the order of `frames` (their times) and shown sorted."""
    tracker, shown, waiting = DamageTracker(), 0, []
    order = sorted(frames)
    for pts in frames:
        tracker.packet(pts)
        if pts in damaged:
            tracker.sign("spoilt", pts)
        waiting.append(pts)
        while shown < len(order) and order[shown] in waiting:
            tracker.frame(shown, order[shown], order[shown] in keys, None)
            shown += 1
    tracker.close(shown)
    return [(d.first, d.end) for d in tracker.found]


def test_whole_frames_are_held_in_place_of_damaged_ones(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", noisy(8), "mjpeg", "yuvj420p")
    whole = read_clip(path).frames
    for number in (0, 1, 5):
        spoil_packet(path, number)
    clip = read_clip(path, tolerate_damage=True)
    assert np.array_equal(clip.frames, whole[[2, 2, 2, 3, 4, 4, 6, 7]])
    assert any("damaged at frame 5 (0.20 s)" in n and "whole frames are held" in n for n in clip.info.notes)


def test_a_clip_without_a_whole_frame_is_refused_even_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", noisy(3), "mjpeg", "yuvj420p")
    for number in range(3):
        spoil_packet(path, number)
    with pytest.raises(ClipError, match="no frame is intact"):
        read_clip(path, tolerate_damage=True)


def test_frames_decoded_before_a_damaged_one_are_good_and_those_after_it_are_not():
    # Decoding order I0 P3 B1 B2 P6 B4 B5 I9 ...
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    assert track(order, {6}, {0, 9}) == [(4, 9)]
    assert track(order, {3}, {0, 9}) == [(1, 9)]
    assert track(order, {9}, {0, 9}) == [(7, 10)]


@given(st.sets(st.integers(0, 29)), st.integers(1, 10))
def test_in_order_damage_lasts_to_the_next_good_key_frame(damaged, interval):
    keys = set(range(0, 30, interval))
    bad, spoilt = set(), False
    for frame in range(30):
        spoilt = frame in damaged or (spoilt and frame not in keys)
        bad |= {frame} if spoilt else set()
    found = track(list(range(30)), damaged, keys)
    assert {f for first, end in found for f in range(first, end)} == bad


def test_good_ranges_are_what_lies_between_damages():
    damages = [Damage(5, 7, "", None), Damage(20, 20, "", Fraction(1)), Damage(28, None, "", None)]
    assert good_ranges(damages, 0, 30, 2) == [(7, 20), (20, 28), (0, 5)]
    assert good_ranges(damages, 6, 20, 2) == [(7, 20)]
    assert all(not d.touches(a, b) for d in damages for a, b in good_ranges(damages, 0, 30, 2))
