"""What "the same frames" means, per precision, and the comparison of one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import UsageError
from pfnr_runtime.metrics import psnr


@dataclass(frozen=True)
class ParityRule:
    """Limits for every frame. max_step: largest difference allowed, in steps of 255. max_fraction: largest
    share of a frame's samples that may differ at all. max_psnr_change: largest change of the mean PSNR
    against the source, in dB, checked where the source is at hand.
    """

    max_step: int
    max_fraction: float
    max_psnr_change: float

    def __post_init__(self) -> None:
        if not 0 <= self.max_step <= 255:
            raise UsageError(f"--max-step {self.max_step} is outside 0 to 255")
        if not 0 <= self.max_fraction <= 1:
            raise UsageError(f"--max-fraction {self.max_fraction} is outside 0 to 1")

    def sentence(self) -> str:
        """The rule in words."""
        return (
            f"every frame at most {self.max_step} step of 255 off, on at most {self.max_fraction:.2%} of samples; "
            f"PSNR against the source within {self.max_psnr_change:g} dB"
        )


# By precision. One step on 0.02 % is what rounding to 8 bits makes of float32 arithmetic in another order.
RULES = {"fp32": ParityRule(max_step=1, max_fraction=0.0002, max_psnr_change=0.001)}


@dataclass(frozen=True)
class FrameParity:
    """One frame, reference against artifact. largest: in steps of 255. differing, samples: counts. psnr:
    between the two in dB, inf if equal. True where the rule holds.
    """

    frame: int
    largest: int
    differing: int
    samples: int
    psnr: float
    passed: bool

    def __bool__(self) -> bool:
        return self.passed

    @property
    def fraction(self) -> float:
        """Share of samples that differ."""
        return self.differing / self.samples


def compare_frame(
    frame: int, reference: NDArray[np.uint8], decoded: NDArray[np.uint8], rule: ParityRule
) -> FrameParity:
    """Compare one frame, uint8 [H, W, 3] each, under a rule."""
    difference = np.abs(reference.astype(np.int16) - decoded)
    largest, differing = int(difference.max()), int(np.count_nonzero(difference))
    passed = largest <= rule.max_step and differing <= rule.max_fraction * difference.size
    figure = psnr(reference, decoded) if differing else math.inf
    return FrameParity(frame, largest, differing, difference.size, figure, passed)
