"""How pictures are cropped and scaled."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers.clips import write_lossless
from helpers.synthetic import moving_pattern
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import fit_to, read_clip


@pytest.mark.parametrize(
    ("source", "size", "aspect", "sentence"),
    [
        ((640, 272), (320, 180), 1, "cropped 640×272 to 484×272 and scaled to 320×180 (Lanczos)"),
        ((1280, 720), (320, 180), 1, "scaled 1280×720 to 320×180 (Lanczos)"),
        ((640, 480), (640, 360), 1, "cropped 640×480 to 640×360"),
        ((320, 180), (320, 180), 1, "kept at 320×180"),
        ((320, 180), None, 2, "kept at 320×180"),
        (
            (720, 576),
            (384, 288),
            Fraction(16, 15),
            "scaled 720×576 to 384×288 (Lanczos), 16/15 samples made square",
        ),
    ],
)
def test_the_sentence_says_what_happens(source, size, aspect, sentence):
    assert fit_to(source, size, Fraction(aspect)).sentence() == sentence


def test_the_sample_aspect_stays_with_untouched_pictures_and_is_square_after_a_scale():
    assert fit_to((720, 576), None, Fraction(16, 15)).sample_aspect == Fraction(16, 15)
    assert fit_to((720, 576), (384, 288), Fraction(16, 15)).sample_aspect == 1


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.fractions(Fraction(1, 4), 4, max_denominator=50),
)
def test_the_crop_is_centred_inside_and_as_large_as_the_shape_allows(source, size, aspect):
    fit = fit_to(source, size, aspect)
    left, top, w, h = fit.crop
    assert min(left, top, w - 1, h - 1) >= 0
    assert 0 <= source[0] - w - 2 * left <= 1
    assert 0 <= source[1] - h - 2 * top <= 1
    assert w == source[0] or h == source[1]
    if source != size:
        shape = Fraction(*size) / aspect
        # Exact up to rounding the cropped side to whole samples.
        assert abs(w - h * shape) <= max(1, shape)


def test_a_crop_alone_moves_no_sample():
    picture = moving_pattern(1, 64, 48)[0]
    assert np.array_equal(fit_to((64, 48), (64, 36)).apply(picture), picture[6:42])


@pytest.mark.parametrize("level", [0, 3, 128, 255])
def test_a_flat_picture_stays_flat(level):
    flat = np.full((90, 160, 3), level, np.uint8)
    assert (fit_to((160, 90), (77, 41)).apply(flat) == level).all()


def test_halving_keeps_smooth_pictures_and_separate_colours():
    picture = moving_pattern(1, 320, 180)[0]
    half = fit_to((320, 180), (160, 90)).apply(picture)
    boxes = picture.reshape(90, 2, 160, 2, 3).mean((1, 3))
    assert np.abs(half - boxes).mean() < 0.5
    only_red = picture * np.array([1, 0, 0], np.uint8)
    assert np.array_equal(fit_to((320, 180), (160, 90)).apply(only_red)[..., 0], half[..., 0])
    assert not fit_to((320, 180), (160, 90)).apply(only_red)[..., 1:].any()


def test_a_clip_is_fitted_frame_by_frame(tmp_path):
    made = moving_pattern(4, 64, 48)
    clip = read_clip(write_lossless(tmp_path / "a.mkv", made), size=(32, 18))
    assert clip.fit == fit_to((64, 48), (32, 18))
    assert np.array_equal(clip.frames, np.stack([clip.fit.apply(f) for f in made]))


@pytest.mark.parametrize("size", [(0, 5), (-4, 4), (5, 20000)])
def test_an_absurd_size_is_refused(size):
    with pytest.raises(ClipError, match="outside 1 to 16384"):
        fit_to((64, 48), size)


@pytest.mark.parametrize(("source", "size"), [((96, 54), (64, 36)), ((50, 31), (33, 17)), ((20, 12), (30, 18))])
def test_average_scaling_is_the_mean_of_the_samples_touched(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (source[1], source[0], 3), np.uint8)
    fit = replace(fit_to(source, size, scaling="average"), crop=(0, 0, *source))
    scaled = fit.apply(picture)
    assert fit.sentence().endswith("(average)")
    for y in range(size[1]):
        for x in range(size[0]):
            rows = slice(y * source[1] // size[1], -(-(y + 1) * source[1] // size[1]))
            columns = slice(x * source[0] // size[0], -(-(x + 1) * source[0] // size[0]))
            assert np.abs(picture[rows, columns].mean((0, 1)) - scaled[y, x]).max() <= 0.5 + 1e-9


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match="scaling 'cubic' is none of lanczos, average"):
        fit_to((64, 48), (32, 24), scaling="cubic")
