"""The quality of decoded frames against the source: PSNR and MS-SSIM per frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_runtime.video.metrics import capped_psnr

# Five scales of an 11-tap window need a shorter side above this (pytorch-msssim's rule).
MS_SSIM_LEAST_SIDE = 160


@dataclass(frozen=True)
class Quality:
    """Per-frame figures of one video. psnr: dB, [N]; ms_ssim: [N], or None where not measured or too small."""

    psnr_per_frame: tuple[float, ...]
    ms_ssim_per_frame: tuple[float, ...] | None

    @property
    def psnr(self) -> float:
        """Mean PSNR over frames in dB."""
        return float(np.mean(self.psnr_per_frame))

    @property
    def ms_ssim(self) -> float | None:
        """Mean MS-SSIM over frames, or None."""
        return None if self.ms_ssim_per_frame is None else float(np.mean(self.ms_ssim_per_frame))


def measure_quality(decoded: NDArray[np.uint8], source: NDArray[np.uint8], similarity: bool = True) -> Quality:
    """Quality of decoded against source frames, both uint8 [N, H, W, 3] of one shape.

    similarity: also measure MS-SSIM, which takes most of the time.
    """
    figures = tuple(capped_psnr(a, b) for a, b in zip(decoded, source, strict=True))
    if not similarity or min(decoded.shape[1:3]) <= MS_SSIM_LEAST_SIDE:
        return Quality(figures, None)
    from pytorch_msssim import ms_ssim

    similarities = []
    for a, b in zip(decoded, source, strict=True):
        pair = [torch.from_numpy(f).permute(2, 0, 1)[None].float() for f in (a, b)]
        similarities.append(float(ms_ssim(*pair, data_range=255)))
    assert all(math.isfinite(s) for s in similarities)
    return Quality(figures, tuple(similarities))
