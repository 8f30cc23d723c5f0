"""Rate against quality: what points measure, BD-rates against their definition, and ordinary codecs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from helpers.synthetic import moving_pattern

from pfnr_train.comparison.rate import RatePoint, bd_rate, bytes_at, gain_at_equal_bytes, rate_point, read_points
from pfnr_train.comparison.video_codecs import CODECS, EncoderSetting, code, codec_curve


def curve(factor: float, gain: float = 0.0) -> list[RatePoint]:
    """PSNR rises by 6 dB each time the rate doubles; `factor` scales all rates, `gain` lifts all qualities."""
    return [
        RatePoint(f"q{k}", int(1000 * factor * 2**k), 0.05 * factor * 2**k, 28 + 6 * k + gain, 30 + 6 * k + gain)
        for k in range(4)
    ]


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3])
def test_bd_rate_of_a_scaled_curve_is_its_factor(factor: float) -> None:
    assert bd_rate(curve(1.0), curve(factor)) == pytest.approx(100 * (factor - 1), abs=0.1)


def test_bd_rate_is_unknown_without_a_common_quality() -> None:
    assert bd_rate(curve(1.0), curve(1.0, gain=40)) is None
    assert bd_rate(curve(1.0), curve(1.0)[:1]) is None


def test_points_that_cost_more_and_give_less_do_not_count() -> None:
    worse = RatePoint("waste", 99_999, 0.3, 20.0, 20.0)
    assert bd_rate(curve(1.0), [*curve(0.5), worse]) == pytest.approx(-50, abs=0.1)


def test_gain_at_equal_bytes() -> None:
    anchor = curve(1.0)
    point = RatePoint("ours", 0, 0.1 * math.sqrt(2), 40.0, 0.0)
    assert gain_at_equal_bytes(anchor, point) == pytest.approx(40 - 37, abs=0.05)
    assert gain_at_equal_bytes(anchor, RatePoint("tiny", 0, 0.01, 40.0, 0.0)) is None


def test_bytes_at_a_quality() -> None:
    assert bytes_at(curve(1.0), 37.0) == pytest.approx(1000 * 2**1.5, rel=0.02)
    assert bytes_at(curve(1.0), 99.0) is None


def test_a_point_counts_every_byte_over_every_pixel() -> None:
    source = moving_pattern(3, 32, 16, 0)
    decoded = np.clip(source.astype(int) + 2, 0, 255).astype(np.uint8)
    point = rate_point("x", 96, decoded, source)
    assert point.bpp == 96 * 8 / (3 * 32 * 16)
    assert point.psnr == pytest.approx(10 * math.log10(255**2 / 4), abs=0.2)
    assert point.ms_ssim is None, "too small for five scales"


def test_points_survive_json_and_bad_ones_are_named() -> None:
    points = curve(1.0)
    assert read_points([p.to_json() for p in points]) == points
    with pytest.raises(ValueError, match="psnr_y"):
        read_points([{"setting": "x", "size": 1, "bpp": 1.0, "psnr": 3.0}])
    with pytest.raises(ValueError, match="list"):
        read_points({"psnr": 1})


@pytest.mark.parametrize("codec", [c for c in CODECS if c.preset == "medium"], ids=lambda c: c.name)
def test_a_codec_gives_all_frames_back_and_improves_with_bytes(codec: EncoderSetting) -> None:
    frames = moving_pattern(6, 64, 48, 1)
    fine, coarse = codec_curve(codec, frames, Fraction(25), crfs=(10, 40))
    assert fine.size > coarse.size > 0
    assert fine.psnr > coarse.psnr + 3


def test_full_chroma_beats_halved_chroma_on_sharp_colours() -> None:
    frames = np.zeros((4, 48, 64, 3), np.uint8)
    frames[:, ::2, :, 0], frames[:, 1::2, :, 2] = 255, 255  # lines of red and blue
    quality = {}
    for chroma in ("420", "444"):
        _, decoded = code(EncoderSetting("libx264", "medium", chroma), frames, Fraction(25), 10)
        quality[chroma] = rate_point("x", 1, decoded, frames).psnr
    assert quality["444"] > quality["420"] + 10
