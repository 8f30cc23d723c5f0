"""What `read_clip` and `probe` give for clips in good order."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.clips import exactly, turn_mp4, write_image, write_lossless, write_planes, write_video
from helpers.synthetic import moving_pattern

from pfnr_runtime.video.record import Colour
from pfnr_train.clips import probe, read_clip


def decode_plainly(path):
    with av.open(str(path)) as file:
        return np.stack([exactly(f) for f in file.decode(video=0)])


def test_a_lossless_clip_comes_back_exactly(tmp_path):
    made = moving_pattern(12, 64, 48)
    clip = read_clip(write_lossless(tmp_path / "a.mkv", made, rate=30))
    assert np.array_equal(clip.frames, made)
    assert (clip.fps, clip.start, clip.sample_aspect) == (30, 0, 1)
    assert (clip.info.width, clip.info.height, clip.info.kind) == (64, 48, "video")
    assert clip.info.duration == Fraction(2, 5)
    assert clip.fit.sentence() == "kept at 64×48"


def test_the_digest_is_of_the_bytes_and_the_shape(tmp_path):
    clip = read_clip(write_lossless(tmp_path / "a.mkv"))
    assert clip.sha256 == hashlib.sha256(clip.frames.tobytes() + b"12x48x64x3").hexdigest()


@pytest.mark.parametrize("taken", [slice(0, 5), slice(4, 9), slice(7, None), slice(None, 2), slice(10, 12)])
def test_a_range_is_half_open_and_frame_exact(tmp_path, taken):
    path = write_video(tmp_path / "a.mp4", 12, options={"bf": "3"})
    clip = read_clip(path, taken)
    assert np.array_equal(clip.frames, decode_plainly(path)[taken])
    assert clip.start == (taken.start or 0)


def test_reading_twice_gives_the_same_bytes(tmp_path):
    path = write_video(tmp_path / "a.mp4", 6)
    assert read_clip(path, size=(40, 22)).sha256 == read_clip(path, size=(40, 22)).sha256


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.mp4", {}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuv420p10le"}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.ts", {}),
        ("a.264", {"container": "h264"}),
        ("a.y4m", {"codec": "rawvideo", "container": "yuv4mpegpipe"}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_every_format_is_read_as_pyav_reads_it(tmp_path, name, more):
    path = write_video(tmp_path / name, 6, rate=20, **more)
    clip = read_clip(path)
    assert np.array_equal(clip.frames, decode_plainly(path))
    assert clip.fps == 20
    assert not clip.info.notes


def test_a_bare_stream_without_a_rate_says_what_is_assumed(tmp_path):
    path = write_video(tmp_path / "a.mjpeg", 4, "mjpeg", "yuvj420p", container="mjpeg")
    assert probe(path).fps == 25
    assert probe(path).notes == ("no frame rate in the file: 25 assumed",)
    assert probe(path, Fraction(50)).fps == 50
    assert probe(path, Fraction(50)).notes == ()


def test_uneven_timestamps_are_noted(tmp_path):
    path = write_video(tmp_path / "v.mkv", 8, pts=[0, 40, 80, 200, 240, 280, 500, 540])
    assert any("uneven" in note for note in read_clip(path).info.notes)


# One colour, Y 120 Cb 90 Cr 200, by the standards' own formulas.
def expected_rgb(kr, kb, full):
    y, cb, cr = (120 - (0 if full else 16)) / (255 if full else 219), 90 - 128, 200 - 128
    cb, cr = cb / (255 if full else 224), cr / (255 if full else 224)
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.clip(np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b]) * 255, 0, 255)


@pytest.mark.parametrize(
    ("code", "matrix", "kr", "kb"),
    [
        (1, "bt709", 0.2126, 0.0722),
        (5, "bt601", 0.299, 0.114),
        (6, "bt601", 0.299, 0.114),
        (9, "bt2020", 0.2627, 0.0593),
        (10, "bt2020", 0.2627, 0.0593),
        (2, "bt601", 0.299, 0.114),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_the_tagged_matrix_and_range_are_honoured(tmp_path, code, matrix, kr, kb, full):
    clip = read_clip(write_planes(tmp_path / "p.mkv", (120, 90, 200), code, 2 if full else 1))
    assert clip.info.colour == Colour(matrix, "full" if full else "limited")
    assert np.abs(clip.frames.astype(float) - expected_rgb(kr, kb, full)).max() <= 1.5


def test_an_untagged_large_clip_notes_the_matrix_it_is_read_with(tmp_path):
    info = probe(write_video(tmp_path / "a.mp4", moving_pattern(2, 64, 720)))
    assert info.colour == Colour("bt601", "limited")
    assert any("no colour matrix" in note for note in info.notes)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda f: np.rot90(f, -1, (1, 2))),
        ((-1, 0, 0, -1), lambda f: np.rot90(f, 2, (1, 2))),
        ((0, -1, 1, 0), lambda f: np.rot90(f, 1, (1, 2))),
        ((-1, 0, 0, 1), lambda f: f[:, :, ::-1]),
        ((1, 0, 0, -1), lambda f: f[:, ::-1]),
    ],
)
def test_a_turned_clip_is_shown_upright(tmp_path, matrix, turn):
    path = write_video(tmp_path / "a.mp4", 3)
    plain = read_clip(path).frames
    turn_mp4(path, matrix)
    clip = read_clip(path)
    assert np.array_equal(clip.frames, turn(plain))
    assert (clip.info.height, clip.info.width) == clip.frames.shape[1:3]
    assert any("upright" in note for note in clip.info.notes)


def test_an_edit_list_that_hides_frames_is_no_damage(tmp_path):
    path = write_video(tmp_path / "a.mp4", 50)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    data[at : at + 4] = (1000).to_bytes(4, "big")  # one second of the two
    path.write_bytes(bytes(data))
    assert len(read_clip(path).frames) == 25
    assert probe(path).frames is None


def test_images_come_in_natural_order_and_hidden_files_are_passed_over(tmp_path):
    made = moving_pattern(12, 64, 48)
    for i, picture in enumerate(made):
        write_image(tmp_path / f"frame{i}.png", picture)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    clip = read_clip(tmp_path)
    assert np.array_equal(clip.frames, made)
    assert (clip.info.kind, clip.info.frames, clip.fps) == ("images", 12, 25)
    assert clip.info.notes == ("images have no frame rate: 25 assumed",)
    assert np.array_equal(read_clip(tmp_path, slice(9, 11)).frames, made[9:11])
    assert read_clip(tmp_path, fps=Fraction(24)).fps == 24


def test_a_pattern_names_a_numbered_sequence_among_other_files(tmp_path):
    made = moving_pattern(3, 64, 48)
    for i, picture in enumerate(made):
        write_image(tmp_path / f"{i + 7:05d}.png", picture)
    (tmp_path / "notes.txt").write_text("not a frame")
    assert np.array_equal(read_clip(tmp_path / "%05d.png").frames, made)


@pytest.mark.parametrize(
    ("suffix", "codec", "array_format"),
    [(".png", "png", "rgb24"), (".bmp", "bmp", "bgr24"), (".tif", "tiff", "rgb24")],
)
def test_lossless_image_formats_come_back_exactly(tmp_path, suffix, codec, array_format):
    made = moving_pattern(2, 63, 47)
    for i, picture in enumerate(made):
        stored = np.ascontiguousarray(picture[..., ::-1]) if array_format == "bgr24" else picture
        write_image(tmp_path / f"{i}{suffix}", stored, array_format, codec)
    assert np.array_equal(read_clip(tmp_path).frames, made)


def test_jpeg_images_come_back_close_and_are_recorded_as_full_range(tmp_path):
    made = moving_pattern(2, 64, 48)
    for i, picture in enumerate(made):
        write_image(tmp_path / f"{i}.jpg", picture, codec="mjpeg")
    clip = read_clip(tmp_path)
    assert np.abs(clip.frames.astype(int) - made).mean() < 4
    assert clip.info.colour == Colour("bt601", "full")


def test_grey_and_deep_images_become_rgb(tmp_path):
    grey = moving_pattern(2, 64, 48)[..., 0]
    write_image(tmp_path / "0.png", np.ascontiguousarray(grey[0]), "gray")
    write_image(tmp_path / "1.png", grey[1].astype(np.uint16) * 257, "gray16be")
    frames = read_clip(tmp_path).frames
    assert np.abs(frames.astype(int) - grey[..., None]).max() <= 1


def test_transparent_images_are_shown_on_black_and_opaque_ones_as_they_are(tmp_path):
    made = moving_pattern(2, 64, 48)
    half = np.full((48, 64, 1), 128, np.uint8)
    write_image(tmp_path / "0.png", np.dstack([made[0], half | 255]), "rgba")
    write_image(tmp_path / "1.png", np.dstack([made[1], half]), "rgba")
    clip = read_clip(tmp_path)
    assert np.array_equal(clip.frames[0], made[0])
    assert np.abs(clip.frames[1] - made[1] * (128 / 255)).max() <= 0.51
    assert "transparent parts are shown on black" in clip.info.notes


def test_a_name_that_looks_like_a_url_is_a_file(tmp_path):
    path = write_lossless(tmp_path / "http:clip é 100%.mkv")
    assert len(read_clip(path).frames) == 12


def test_only_the_frames_asked_for_are_held(tmp_path):
    path = write_lossless(tmp_path / "a.mkv", moving_pattern(6, 640, 480))
    clip = read_clip(path, slice(0, 3), size=(32, 24))
    assert clip.frames.nbytes == 3 * 32 * 24 * 3
    assert clip.frames.flags.c_contiguous


def test_the_package_is_imported_without_pyav():
    code = "import sys, pfnr_train.clips; sys.exit('av' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False).returncode == 0
