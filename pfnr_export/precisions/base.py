"""What a precision is: a rewrite of the emitted fp32 model, and how much it may lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pfnr_runtime.system.progress import SILENT, Progress


@dataclass(frozen=True)
class Subject:
    """What is to be converted. The inputs are a closed set, frame_index 0 to frames − 1, but for continuous time.

    model: as emitted, fp32. frames: N. output: a key of `OUTPUT_KINDS`. budget: most PSNR that may be lost,
    in dB, by every frame and on average. source: the clip's frames, uint8 [N, H, W, 3], where at hand.
    recorded_psnr: of the session against its source when trained, in dB, where known. calibration_frames:
    how many frames, evenly chosen, set the ranges of activations; None for all. progress: of the
    conversion. continuous: whether the model decodes any time of the video; the budget is still one for its
    whole frames, which alone have a source, and ranges are taken half-way between them too.
    """

    model: onnx.ModelProto
    frames: int
    output: str
    budget: float
    source: NDArray[np.uint8] | None = None
    recorded_psnr: float | None = None
    calibration_frames: int | None = None
    progress: Progress = field(default=SILENT, repr=False)
    continuous: bool = False

    def places(self, frames: Iterable[int]) -> list[float]:
        """Where ranges are taken: at these frames, and behind each where the model decodes any time."""
        numbers = list(frames)
        return [*numbers, *(k + 0.5 for k in numbers if self.continuous and k + 1 < self.frames)]


@dataclass(frozen=True)
class Converted:
    """A model of the precision asked for, and the record of what that cost, as plain JSON types."""

    model: onnx.ModelProto
    report: dict[str, Any]


@dataclass(frozen=True)
class Precision:
    """One precision. convert raises VerificationError where the budget cannot be met.

    budget: the default, in dB; None for a precision that loses nothing and takes no budget.
    """

    name: str
    summary: str
    budget: float | None
    convert: Callable[[Subject], Converted]
