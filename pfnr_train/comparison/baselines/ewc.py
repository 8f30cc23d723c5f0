"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

Springs hold the weights that mattered to old videos: λ/2 Σ_k Σ_i F_k,i (θ_i − θ*_k,i)² is added to the loss, θ*_k
the weights after video k and F_k the diagonal of its Fisher information there. For a decoder whose frames are
means of Gaussians of unit variance, F = E[(∂ log p(y)/∂θ)²] = Σ_outputs (∂frame/∂θ)²; it is taken per output
sample here, so that λ is in units of loss per mean squared change of a frame.

All springs of a weight add up to one: Σ_k F_k (θ − θ*_k)² = F (θ − m)² + constant, with F = Σ F_k and m = Σ F_k
θ*_k / F. So memory does not grow with the number of videos, and no information is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from pfnr_train.comparison.baselines.dense_training import Part, Penalty
from pfnr_train.comparison.baselines.method import Setting
from pfnr_train.comparison.baselines.sequential import FineTuning
from pfnr_train.model.network import Network
from pfnr_train.session.training import session_generator

# The best of 3, 100 and 3000 on the first clips of uvg8mini: mean PSNR after three videos 15.6, 20.3 and 22.0 dB.
STRENGTH = 3000.0


def fisher_diagonal(
    decode: Callable[[int], Tensor],
    weights: Mapping[str, Tensor],
    frames: int,
    generator: torch.Generator,
    draws: int = 1,
) -> dict[str, Tensor]:
    """The Fisher information's diagonal per output sample, averaged over frames 0..frames−1.

    decode: one frame by index, of any shape, as a function of `weights` (leaves that require gradients). For noise
    ε of unit variance the squared gradient of ⟨ε, frame⟩ has Σ_outputs (∂frame/∂θ)² as its mean: one backward pass
    per draw instead of one per output.
    """
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    for index in range(frames):
        frame = decode(index)
        for draw in range(draws):
            noise = torch.randn(frame.shape, generator=generator, dtype=frame.dtype).to(frame.device)
            gradients = torch.autograd.grad(
                (frame * noise).sum(), list(weights.values()), retain_graph=draw + 1 < draws, allow_unused=True
            )
            for name, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    total[name] += gradient.square() / (frames * draws * frame.numel())
    return total


class Springs:
    """The sum of all videos' penalties, as one spring per weight."""

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self.stiffness: dict[str, Tensor] = {}
        self.rest: dict[str, Tensor] = {}

    def add(self, fisher: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """Add springs of stiffness `fisher` at the current `weights`."""
        for name, new in fisher.items():
            at = weights[name].detach()
            if name not in self.stiffness:
                self.stiffness[name], self.rest[name] = new.clone(), at.clone()
                continue
            total = self.stiffness[name] + new
            moved = self.rest[name] + torch.where(total > 0, new / total, 0) * (at - self.rest[name])
            self.stiffness[name], self.rest[name] = total, moved

    def __call__(self, weights: Mapping[str, Tensor]) -> Tensor:
        """λ/2 Σ F (θ − m)², a scalar: the penalties of all videos, up to a constant."""
        terms = [(self.stiffness[n] * (weights[n] - self.rest[n]).square()).sum() for n in self.stiffness]
        return self.strength / 2 * torch.stack(terms).sum()


class ElasticWeightConsolidation(FineTuning):
    """Fine-tuning with springs on the shared weights; each video has its own head, which needs none.

    Always by Adam: a spring holds single weights, and steps in a turned basis overshoot the stiff ones.
    """

    def __init__(self, setting: Setting, strength: float = STRENGTH) -> None:
        super().__init__(replace(setting, recipe=replace(setting.recipe, optimiser="adam")))
        self.springs = Springs(strength)

    def penalty(self) -> Penalty | None:
        """See the class."""
        return self.springs if self.springs.stiffness else None

    def remember(self, part: Part) -> float:
        """See the class."""
        start = perf_counter()
        device = self.setting.device
        model = Network(self.config, fast=True).to(device)
        weights = {n: torch.from_numpy(w).to(device).requires_grad_() for n, w in self.network.weights.items()}
        head = {n: torch.from_numpy(w).to(device) for n, w in self.network.heads[part.video].items()}
        table = torch.from_numpy(part.table).to(device)
        generator = session_generator(self.recipe.seed, self.setting.videos + part.video)
        fisher = fisher_diagonal(lambda k: model(table[k : k + 1], weights, head), weights, len(table), generator)
        self.springs.add(fisher, weights)
        return perf_counter() - start

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`: further learning needs a stiffness and a rest position for every weight."""
        kept = sum(t.numel() * np.dtype(np.float32).itemsize for t in self.springs.stiffness.values())
        return super().stored_bytes() | {"springs": 2 * kept}
