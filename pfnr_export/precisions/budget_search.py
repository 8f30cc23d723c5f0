"""Returning layers to higher precision, worst first, until every frame is within the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from pfnr_export.precisions.engine import spread
from pfnr_export.precisions.judge import Judge, JudgedFrame, worst
from pfnr_runtime.errors import VerificationError

# Frames used to rank layers and screen mixtures, before all frames decide.
SCREEN_FRAMES = 4

Build = Callable[[frozenset[str]], onnx.ModelProto]


@dataclass(frozen=True)
class Mixture:
    """The outcome. low: names of the layers left in low precision. alone: by layer, the mean loss in dB with only
    that layer low. losses: of every frame.
    """

    model: onnx.ModelProto
    low: frozenset[str]
    alone: dict[str, float]
    losses: list[JudgedFrame]


def fit_budget(judge: Judge, worth: Mapping[str, int], build: Build, what: str) -> Mixture:
    """The mixture found by returning layers, worst first by measured loss, and then trading up.

    worth: by layer, what it saves when low (MACs or bytes). build: the model with the named layers low. A mixture
    is accepted only if all frames were decoded and each is within the budget. Then returned layers are made low
    again if they still fit, or in exchange for a low one that is worth less. A VerificationError names the best
    result if not even one layer can stay low.
    """
    search = _Search(judge, build, what)
    alone = {layer: search.mean_loss(layer) for layer in worth}
    order = sorted(worth, key=lambda layer: alone[layer])
    found = None
    for count in range(len(order), 0, -1):
        if (found := search.attempt(frozenset(order[:count]))) is not None:
            break
    if found is None:
        raise VerificationError(
            f"no mixture of {what} and fp32 stays within {judge.subject.budget:g} dB on every frame; the best of "
            f"{len(order)} tried loses {search.best:.4f} dB; allow more with a larger PSNR budget, or choose a "
            "higher precision"
        )
    for layer in sorted(set(order) - found.low, key=lambda name: -worth[name]):
        cheaper = sorted((name for name in found.low if worth[name] < worth[layer]), key=lambda name: worth[name])
        for dropped in (frozenset[str](), *(frozenset([name]) for name in cheaper)):
            if (better := search.attempt(found.low - dropped | {layer})) is not None:
                found = better
                break
    return Mixture(found.model, found.low, alone, found.losses)


class _Search:
    def __init__(self, judge: Judge, build: Build, what: str) -> None:
        self.judge, self.build, self.what = judge, build, what
        self.best = math.inf
        self._screen = spread(judge.subject.frames, SCREEN_FRAMES)

    def mean_loss(self, layer: str) -> float:
        """The loss of one layer alone, on the screening frames."""
        self.judge.subject.progress.stage(f"{self.what}: loss of {layer} alone")
        losses = self.judge.losses(self.build(frozenset([layer])), self._screen)
        return float(np.mean([found.loss for found in losses]))

    def attempt(self, low: frozenset[str]) -> Mixture | None:
        """The mixture with these layers low, if it is within the budget on every frame."""
        subject = self.judge.subject
        subject.progress.stage(f"{self.what}: {len(low)} layers on {subject.frames} frames")
        model = self.build(low)
        losses = self.judge.losses(model, self._screen)
        if self.judge.inside(losses):
            losses = self.judge.losses(model, range(subject.frames))
            if not self.judge.inside(losses):
                self._screen = sorted({*self._screen, max(losses, key=lambda found: found.loss).frame})
        self.best = min(self.best, worst(losses))
        return Mixture(model, low, {}, losses) if self.judge.inside(losses) else None
