"""The interface of precisions: a rewrite of the emitted fp32 model, and how much quality it may lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pfnr_export.layers import Decoder
from pfnr_runtime.artifact.contract import PROVED
from pfnr_runtime.artifact.exactness import Exactness
from pfnr_runtime.system.progress import SILENT, Progress


@dataclass(frozen=True)
class Subject:
    """A model to convert. Except for continuous time, its inputs are a closed set: frame_index 0 to frames − 1.

    - model: as emitted, fp32.
    - frames: N.
    - output: a key of `OUTPUT_KINDS`.
    - budget: most PSNR that may be lost, in dB, per frame and on average.
    - source: the clip's frames, uint8 [N, H, W, 3], if available.
    - recorded_psnr: of the session against its source after training, in dB, if known.
    - calibration_frames: how many evenly spaced frames set activation ranges; None for all.
    - progress: of the conversion.
    - continuous: whether the model decodes any time of the video; the budget still applies to whole frames, which
      alone have a source, and ranges are also taken half-way between them.
    - decoder: what the model was emitted from, for a precision that rewrites layers.
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
    decoder: Decoder | None = field(default=None, repr=False)

    def places(self, frames: Iterable[int]) -> list[float]:
        """Where ranges are measured: at these frames, and half-way after each if the model decodes any time."""
        numbers = list(frames)
        return [*numbers, *(k + 0.5 for k in numbers if self.continuous and k + 1 < self.frames)]


@dataclass(frozen=True)
class Converted:
    """A converted model, a record of its loss as plain JSON types, and the proof that it is exact if it is."""

    model: onnx.ModelProto
    report: dict[str, Any]
    exactness: Exactness | None = None


def unchanged(subject: Subject) -> Converted:
    """The model as it was emitted, as a lossless precision has it."""
    return Converted(subject.model, {})


@dataclass(frozen=True)
class Precision:
    """One precision.

    - budget: the default, in dB; None for a lossless precision, which takes none.
    - convert: raises VerificationError where the budget cannot be met.
    """

    name: str
    summary: str
    budget: float | None = None
    convert: Callable[[Subject], Converted] = unchanged

    @property
    def proved(self) -> bool:
        """Whether its artifacts carry a proof that their frames are the same bytes on every engine."""
        return self.name in PROVED
