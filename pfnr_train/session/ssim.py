"""SSIM for training: the published definition, arranged so that a step pays only for what changes.

SSIM (Wang et al. 2004) with an 11-tap Gaussian window, σ 1.5, no padding, over maps in [0, 1]. The target's
own blurred statistics never change while a session trains, so they are computed once a frame, and a blur is
two small banded matrix products instead of a depthwise convolution, which CPUs run slowly.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2


# Outputs per banded product: a wider band wastes more on its zeros, a narrower one more on calls.
STRIP = 160


class Blur:
    """The 11-tap Gaussian along rows and columns of [..., H, W], without padding: [..., H−10, W−10]."""

    def __init__(self, height: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self.window = min(WINDOW, height, width)
        if self.window % 2 == 0:
            self.window -= 1
        self._rows = [(part, self._band(part, device, dtype)) for part in self._strips(height)]
        self._columns = [(part, self._band(part, device, dtype).T.contiguous()) for part in self._strips(width)]

    def _strips(self, size: int) -> list[slice]:
        """Overlapping parts of an axis whose outputs lie side by side."""
        outputs, overlap = size - self.window + 1, self.window - 1
        return [slice(a, min(a + STRIP, outputs) + overlap) for a in range(0, outputs, STRIP)]

    def _band(self, part: slice, device: torch.device, dtype: torch.dtype) -> Tensor:
        size = part.stop - part.start
        offsets = torch.arange(self.window, dtype=torch.float64) - self.window // 2
        taps = torch.exp(-(offsets**2) / (2 * SIGMA**2))
        taps /= taps.sum()
        outputs = size - self.window + 1
        band = torch.zeros(outputs, size, dtype=torch.float64)
        for i in range(outputs):
            band[i, i : i + self.window] = taps
        return band.to(device, dtype)

    def __call__(self, maps: Tensor) -> Tensor:
        """See the class."""
        narrowed = _join([torch.matmul(maps[..., part], band) for part, band in self._columns], -1)
        return _join([torch.matmul(band, narrowed[..., part, :]) for part, band in self._rows], -2)


def _join(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


class TargetStatistics:
    """A target frame's part of SSIM: the frame, its local mean and local variance, each [3, ...].

    The statistics are computed when first asked for.
    """

    def __init__(self, frame: Tensor, blur: Blur) -> None:
        self.frame = frame
        self._blur = blur

    @cached_property
    def mean(self) -> Tensor:
        """Local means."""
        return self._blur(self.frame)

    @cached_property
    def variance(self) -> Tensor:
        """Local variances."""
        return self._blur(self.frame * self.frame) - self.mean**2


def ssim(decoded: Tensor, target: Tensor, mean_t: Tensor, variance_t: Tensor, blur: Blur) -> Tensor:
    """Mean SSIM of decoded [B, 3, H, W] against a target with its statistics, a scalar."""
    batch = decoded.shape[0]
    blurred = blur(torch.cat([decoded, decoded * decoded, decoded * target]))
    mean, square, product = blurred[:batch], blurred[batch : 2 * batch], blurred[2 * batch :]
    variance = square - mean * mean
    covariance = product - mean * mean_t
    luminance = (2 * mean * mean_t + C1) / (mean * mean + mean_t * mean_t + C1)
    contrast = (2 * covariance + C2) / (variance + variance_t + C2)
    return (luminance * contrast).mean()
