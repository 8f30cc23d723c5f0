"""How a canvas network's maps and pictures are trained: leaves scaled so that a unit is a sensible change.

A weight is its leaf times a gain. Slow cosines of time carry most of a video, so quick ones learn more slowly; a
canvas's cells span the range of an activation, a path's coefficients many cells. Adam moves all of them: their
entries have no common covariances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pfnr_train.model.canvas import LATENTS, PANNED, PATH, STILL

CANVAS_GAIN, PATH_GAIN = 7.0, 0.5
# First steps of the grids that coded values lie on.
FIRST_STEPS = {LATENTS: 0.06, STILL: 0.3, PANNED: 0.3, PATH: 1 / 16}
BIAS_STEP = 0.02


def gain(name: str, shape: tuple[int, ...]) -> Tensor | None:
    """What the leaf of a tensor is multiplied by; None for 1, which a network's other tensors have."""
    if name == LATENTS:
        return (math.sqrt(2) / (1 + torch.arange(shape[0])).sqrt())[:, None, None, None]
    if name in (STILL, PANNED):
        return torch.tensor(CANVAS_GAIN)
    return torch.tensor(PATH_GAIN) if name == PATH else None


def first_step(name: str, weight: Tensor, levels: float) -> float:
    """The first step of a tensor's grid: of `levels` steps in its largest weight, where nothing else is better."""
    if name in FIRST_STEPS:
        return FIRST_STEPS[name]
    if name.endswith("bias"):
        return BIAS_STEP
    return max(float(weight.detach().abs().max()), 2.0**-12) / levels
