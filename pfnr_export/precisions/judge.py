"""Measuring a converted model's loss per frame, against the source or an estimate of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from pfnr_export.precisions.base import Subject
from pfnr_export.precisions.engine import Engine
from pfnr_runtime.artifact.parity import ASSUMED_SOURCE_PSNR, DIGITS
from pfnr_runtime.video.metrics import PSNR_CEILING, capped_psnr, mse

SOURCE, ESTIMATE = "source", "estimate"


@dataclass(frozen=True)
class JudgedFrame:
    """One frame. between: PSNR to the fp32 frame in dB, at most `PSNR_CEILING`. source_psnr: of the converted
    frame against the source, None if that is unavailable. loss: in dB, see `Judge`.
    """

    frame: int
    between: float
    source_psnr: float | None
    loss: float


class Judge:
    """Compares converted models with the fp32 one on any frames of a closed set.

    The loss of a frame is the drop of its PSNR against the source. Without the source it is estimated as if both
    errors were independent: 10 log10(1 + mse_between / mse_source), with the source PSNR recorded in training, or
    `ASSUMED_SOURCE_PSNR`. It measures where `artifact.parity.Comparison` holds against a rule: the rule of a lower
    precision has floors for every frame, which come from this measurement.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.judged_by = ESTIMATE if subject.source is None else SOURCE
        engine = Engine(subject.model)
        self.reference = np.stack(list(engine.pictures(range(subject.frames))))
        known = subject.recorded_psnr
        assumed = ASSUMED_SOURCE_PSNR if known is None else known
        self.source_psnr = [assumed] * subject.frames
        if subject.source is not None:
            self.source_psnr = [capped_psnr(a, b) for a, b in zip(self.reference, subject.source, strict=True)]

    def losses(self, model: onnx.ModelProto, frames: Iterable[int]) -> list[JudgedFrame]:
        """The model's loss on each of these frames."""
        numbers, engine = list(frames), Engine(model)
        return [self._loss(frame, engine.picture(frame)) for frame in numbers]

    def error(self, model: onnx.ModelProto, frames: Iterable[int]) -> float:
        """Mean squared difference from the fp32 frames, in squared steps of 255."""
        engine = Engine(model)
        return float(np.mean([mse(engine.picture(frame), self.reference[frame]) for frame in frames]))

    def inside(self, losses: list[JudgedFrame]) -> bool:
        """Whether every frame, and so their mean, is within the budget."""
        return all(found.loss <= self.subject.budget for found in losses)

    def report(self, losses: list[JudgedFrame]) -> dict[str, Any]:
        """The measurements on all frames, for the artifact's contract."""

        def rounded(values: Iterable[float]) -> list[float]:
            return [round(value, DIGITS) for value in values]

        source = [found.source_psnr for found in losses if found.source_psnr is not None]
        return {
            "budget": self.subject.budget,
            "judged_by": self.judged_by,
            "loss_worst": round(worst(losses), DIGITS + 1),
            "loss_mean": round(float(np.mean([found.loss for found in losses])), DIGITS + 1),
            "psnr_between": rounded(found.between for found in losses),
            "source_psnr_fp32": rounded(self.source_psnr),
            "source_psnr": rounded(source) if len(source) == len(losses) else None,
        }

    def _loss(self, frame: int, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> JudgedFrame:
        between, before = capped_psnr(picture, self.reference[frame]), self.source_psnr[frame]
        if self.subject.source is None:
            exact = between == PSNR_CEILING
            loss = 0.0 if exact else 10 * math.log10(1 + 10 ** ((before - between) / 10))
            return JudgedFrame(frame, between, None, loss)
        after = capped_psnr(picture, self.subject.source[frame])
        return JudgedFrame(frame, between, after, before - after)


def worst(losses: list[JudgedFrame]) -> float:
    """The largest loss of any frame in dB."""
    return max(found.loss for found in losses)
