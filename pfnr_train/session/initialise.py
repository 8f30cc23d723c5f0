"""Starting values of shared weights, scores and heads."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_train.library.library import Library
from pfnr_train.model.canvas import LATENTS, PANNED, PATH, STILL
from pfnr_train.model.config import ModelConfig

# Of the bound that would keep a signal's variance through the Fourier block. The authors' code starts about
# ten times lower still, which costs training steps; at 1 it measured no better and can overshoot.
FOURIER_GAIN = 0.3

# Standard deviations of a canvas network's first maps and pictures.
CANVAS_SPREADS = {LATENTS: 0.1, STILL: 0.02, PANNED: 0.02, PATH: 0.0}


def new_library(config: ModelConfig, seed: int) -> Library:
    """A library without sessions, its weights drawn by `seed`: uniform, bounded by 1/√fan-in."""
    return Library(config, new_weights(config, torch.Generator().manual_seed(seed)))


def new_weights(config: ModelConfig, generator: torch.Generator) -> dict[str, NDArray[np.float32]]:
    """First values of a whole network, by tensor name: uniform, bounded by 1/√fan-in."""
    weights = {}
    for name, shape in config.tensor_shapes().items():
        if name in CANVAS_SPREADS:
            drawn = torch.randn(shape, generator=generator) * CANVAS_SPREADS[name]
            weights[name] = drawn.numpy().astype(np.float32)
            continue
        bound = weight_bound(name, shape)
        weights[name] = _uniform(shape, bound, generator).numpy().astype(np.float32)
    return weights


def weight_bound(name: str, shape: tuple[int, ...]) -> float:
    """Bound of a shared tensor's first values."""
    if name.endswith(".fourier.weight"):
        return FOURIER_GAIN * math.sqrt(3 / shape[1])
    if name.endswith(".bias"):
        return 1e-3
    return 1 / math.sqrt(math.prod(shape[1:]))


def new_scores(start: str, weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Fresh scores for a session, float32.

    start: `magnitude`, each weight's own, so that a session begins with the largest weights and reuses what
    earlier sessions have trained; or `random`, uniform and bounded by 1/√fan-in.
    """
    if start == "magnitude":
        return {name: w.detach().abs().cpu() for name, w in weights.items()}
    return {
        name: _uniform(tuple(w.shape), 1 / math.sqrt(max(1, math.prod(w.shape[1:]))), generator)
        for name, w in weights.items()
    }


def new_head(config: ModelConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """A fresh head for a session, float32."""
    return {
        name: _uniform(shape, 1 / math.sqrt(config.head_shapes()["weight"][1]), generator)
        for name, shape in config.head_shapes().items()
    }


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
