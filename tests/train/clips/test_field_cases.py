"""Clips of the kinds that people have trouble with: what each of them is, and how spoilt ones say so."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import Clip, probe, read_clip


def seconds(clip: Clip) -> Fraction:
    return clip.times.duration if clip.times is not None else len(clip.frames) / clip.fps


@pytest.mark.parametrize(
    ("name", "frames", "size", "fps", "length"),
    [
        ("ssr.mkv", 75, (160, 90), 25, 3),
        ("slides.mkv", 5, (160, 90), Fraction(1, 3), 12),
        ("cfr_from30at3.mkv", 12, (160, 90), 3, 4),
        ("cfr_from30at3.avi", 12, (160, 90), 3, 4),
        ("slideshow.gif", 10, (160, 90), 10, 3.9),
        ("pil.apng", 10, (160, 90), 10, 3.9),
        ("stale_reenc.mkv", 25, (160, 90), 25, 1),
        ("piped.avi", 100, (160, 90), 25, 4),
        ("cut.avi", 40, (160, 90), 25, 1.6),
        ("piped.mov", 100, (160, 90), 25, 4),
        ("nasa_13013.mp4", 390, (480, 270), Fraction(30000, 1001), 13.013),
        ("two_second_default.mkv", 25, (320, 180), 25, 1),
        ("cover_first.mkv", 25, (160, 90), 25, 1),
        ("alpha_video_fixed.avif", 48, (640, 480), 25, 1.92),
        ("pil.avif", 10, (160, 90), 10, 1),
        ("nokey_vp9.webm", 75, (320, 180), 25, 3),
        ("vp8a.webm", 10, (160, 90), 25, 0.4),
        ("gray_x265_l.mp4", 3, (64, 64), 25, 0.12),
        ("gray_ffv1_l.mkv", 3, (64, 64), 25, 0.12),
        ("video_0.mov", 3, (568, 320), 30, 0.1),
        ("pq.mp4", 8, (160, 90), 25, 0.32),
        ("hlg.mp4", 8, (160, 90), 25, 0.32),
        ("p3.mp4", 8, (160, 90), 25, 0.32),
    ],
)
def test_a_clip_is_what_its_frames_say(shared_data, name, frames, size, fps, length):
    clip = read_clip(shared_data(f"field/{name}"))
    assert clip.frames.shape == (frames, size[1], size[0], 3)
    assert clip.fps == fps
    assert float(seconds(clip)) == pytest.approx(length, abs=0.05)
    assert float(clip.info.duration or 0) == pytest.approx(length, abs=0.05)
    assert clip.info.frames == frames


@pytest.mark.parametrize(
    ("name", "place", "good"),
    [
        ("c_mjpeg.avi", "at frame 51 (2.04 s)", [slice(0, 51), slice(52, 100)]),
        ("z_ffv1v3.mkv", "from frame 51 (2.04 s) to 59", [slice(0, 51), slice(60, 100)]),
        ("c_hevc.mp4", "from frame 47 (1.88 s) to 74", [slice(0, 47), slice(75, 100)]),
        ("nokey_mpeg4.mp4", "from frame 0 (0.00 s) to 19", [slice(20, 95)]),
        ("z_vp9.webm", "after 50 frames", [slice(0, 50)]),
    ],
)
def test_damage_is_named_with_the_ranges_that_avoid_it_or_tolerated_in_a_note(shared_data, name, place, good):
    path = shared_data(f"field/{name}")
    with pytest.raises(ClipError) as caught:
        read_clip(path, size=(32, 18))
    assert place in str(caught.value)
    assert "`tolerate_damage`" in str(caught.value)
    for span in good:
        assert f"`frames={span.start}:{span.stop}`" in str(caught.value)
        clip = read_clip(path, span, size=(32, 18))
        assert len(clip.frames) == span.stop - span.start
        assert not [note for note in clip.info.notes if "damaged" in note]
    tolerated = read_clip(path, size=(32, 18), tolerate_damage=True)
    assert any(note.startswith("damaged ") for note in tolerated.info.notes)


@pytest.mark.parametrize("name", ["multipage_rgb.tif", "pil.webp"])
def test_a_kind_that_ffmpeg_lacks_is_called_unsupported(shared_data, name):
    with pytest.raises(ClipError, match=r"not supported .*; supported are .* convert") as caught:
        read_clip(shared_data(f"field/{name}"))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("name", ["gray_x265_l.mp4", "gray_ffv1_l.mkv"])
def test_limited_grey_expands(shared_data, name):
    frames = read_clip(shared_data(f"field/{name}")).frames
    assert (frames.min(), frames.max()) == (0, 255)


def test_a_fragmented_file_gives_any_range_it_has(shared_data):
    assert len(read_clip(shared_data("field/piped.mov"), slice(0, 8)).frames) == 8


def test_notes_say_what_was_chosen_or_left_out(shared_data):
    assert any("0 (320×180 h264)" in note for note in probe(shared_data("field/nasa_13013.mp4")).notes)
    assert read_clip(shared_data("field/nasa_13013.mp4"), slice(0, 2), stream=0).frames.shape[1:3] == (180, 320)
    assert any("20 packets" in note for note in read_clip(shared_data("field/nokey_vp9.webm")).info.notes)
    assert "transparent parts are shown on black" in read_clip(shared_data("field/vp8a.webm")).info.notes
    assert not any("interlaced" in note for note in read_clip(shared_data("field/adam7")).info.notes)


def test_reading_gives_the_digest_that_other_processors_give(shared_data):
    # The same with and without SIMD, and on aarch64.
    digest = read_clip(shared_data("field/video_0.mov")).sha256
    assert digest == "032d3346b864ca647cbc8aa93707966b86937f3a0bec43d5e43c0f4a1d91b870"


@pytest.mark.parametrize(
    ("name", "transfer", "primaries"),
    [("pq.mp4", "smpte2084", None), ("hlg.mp4", "arib-std-b67", None), ("p3.mp4", None, "smpte432")],
)
def test_transfer_and_primaries_are_recorded(shared_data, name, transfer, primaries):
    colour = probe(shared_data(f"field/{name}")).colour
    assert (colour.transfer, colour.primaries) == (transfer, primaries)


def test_what_is_transparent_is_black(shared_data):
    frames = read_clip(shared_data("field/vp8a.webm")).frames
    assert np.mean(np.all(frames == 0, axis=3)) > 0.1
