"""Rate against quality: a video's size and quality, as points, curves and BD-rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_train.evaluation.quality import measure_quality

# Rec. 709 luma from full-range RGB, for the PSNR of Y.
LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class RatePoint:
    """One coding of one video.

    - setting: what was asked for, such as `crf 23`.
    - size: bytes of all that a decoder needs: the raw stream, or the whole packed file.
    - bpp: bits per pixel of the video.
    - psnr: mean over frames of the PSNR of RGB, dB.
    - psnr_y: the same of luma.
    - ms_ssim: mean over frames, None where frames are too small for it.
    - seconds: how long the encoder took, None where unknown.
    """

    setting: str
    size: int
    bpp: float
    psnr: float
    psnr_y: float
    ms_ssim: float | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def rate_point(
    setting: str,
    size: int,
    decoded: NDArray[np.uint8],
    source: NDArray[np.uint8],
    seconds: float | None = None,
    similarity: bool = True,
) -> RatePoint:
    """Measure decoded against source frames, both uint8 [N, H, W, 3], that take `size` bytes.

    similarity: whether to measure MS-SSIM too, which takes most of the time.
    """
    quality = measure_quality(decoded, source, similarity)
    pixels = math.prod(source.shape[:3])
    luma = float(np.mean([_psnr_y(a, b) for a, b in zip(decoded, source, strict=True)]))
    return RatePoint(setting, size, 8 * size / pixels, quality.psnr, luma, quality.ms_ssim, seconds)


def _psnr_y(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(np.mean(((a.astype(np.float64) - b) @ LUMA) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-6))


def read_points(value: Any) -> list[RatePoint]:
    """The inverse of `RatePoint.to_json` for a list; a ValueError names what is wrong in it."""
    if not isinstance(value, list):
        raise ValueError("the points of a curve must be a list")
    points = []
    for given in value:
        if not isinstance(given, Mapping) or not {"setting", "size", "bpp", "psnr", "psnr_y"} <= given.keys():
            raise ValueError("a point needs setting, size, bpp, psnr and psnr_y")
        known = {key: given[key] for key in RatePoint.__dataclass_fields__ if key in given}
        points.append(RatePoint(**known))
    return points


def bd_rate(anchor: Sequence[RatePoint], test: Sequence[RatePoint], measure: str = "psnr") -> float | None:
    """Bjøntegaard's delta rate of `test` against `anchor` in percent: the additional bytes it needs (negative:
    fewer).

    Piecewise cubic (PCHIP) interpolation of log rate over the quality range of both curves. None if there is no
    overlap, or if a curve has fewer than two rising points.
    """
    import bjontegaard

    curves = [_rising(points, measure) for points in (anchor, test)]
    if min(len(curve) for curve in curves) < 2:
        return None
    (_, a), (_, b) = (zip(*curve, strict=True) for curve in curves)
    if min(max(a), max(b)) - max(min(a), min(b)) <= 0.05:
        return None
    rates = [[rate for rate, _ in curve] for curve in curves]
    value = bjontegaard.bd_rate(
        rates[0], list(a), rates[1], list(b), method="pchip", require_matching_points=False, min_overlap=0
    )
    return None if not math.isfinite(value) else float(value)


def _rising(points: Sequence[RatePoint], measure: str) -> list[tuple[float, float]]:
    """The curve's (bpp, quality) without points that cost more but are no better."""
    curve: list[tuple[float, float]] = []
    for rate, quality in sorted((p.bpp, getattr(p, measure)) for p in points):
        if not curve or (rate > curve[-1][0] and quality > curve[-1][1]):
            curve.append((rate, quality))
    return curve


def bytes_at(curve: Sequence[RatePoint], quality: float, measure: str = "psnr") -> int | None:
    """Bytes that a curve takes for a quality, interpolated; None outside what it reaches."""
    from scipy.interpolate import PchipInterpolator

    rising = _rising(curve, measure)
    if len(rising) < 2 or not rising[0][1] <= quality <= rising[-1][1]:
        return None
    rates, qualities = zip(*rising, strict=True)
    rate = math.exp(float(PchipInterpolator(qualities, np.log(rates))(quality)))
    return round(rate / curve[0].bpp * curve[0].size)


def gain_at_equal_bytes(anchor: Sequence[RatePoint], point: RatePoint, measure: str = "psnr") -> float | None:
    """How many dB `point` is above the anchor's curve at its own rate; None outside the curve's rates."""
    from scipy.interpolate import PchipInterpolator

    curve = _rising(anchor, measure)
    if len(curve) < 2 or not curve[0][0] <= point.bpp <= curve[-1][0]:
        return None
    rates, qualities = zip(*curve, strict=True)
    at = float(PchipInterpolator(np.log(rates), qualities)(math.log(point.bpp)))
    return float(getattr(point, measure)) - at
