"""Shared by the baselines: training a whole network, without masks, on frames of one or more videos.

Network, loss, learning rates, order and optimiser are those of a session's training; all weights are trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from pfnr_train.comparison.baselines.method import Array, DenseNetwork, Frames
from pfnr_train.model.network import Network
from pfnr_train.session.loss import FrameLoss
from pfnr_train.session.optimisers import SessionOptimiser
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.schedule import learning_rate_factor
from pfnr_train.session.training import TrainingError

Penalty = Callable[[Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Part:
    """Frames of one video to train on. video: whose head they use. frames: uint8 [n, H, W, 3]. table: [n, 4L]."""

    video: int
    frames: Frames
    table: Array


class DenseTraining:
    """`network` trained on all frames of `parts` for the recipe's epochs.

    An epoch passes over every frame of every part once. penalty: of the shared weights, added to the loss. The
    given network is not changed. A TrainingError if the loss stops being a number.
    """

    def __init__(
        self,
        network: DenseNetwork,
        parts: list[Part],
        recipe: Recipe,
        generator: torch.Generator,
        device: str = "cpu",
        penalty: Penalty | None = None,
    ) -> None:
        self.device, self.recipe, self.generator, self.penalty = torch.device(device), recipe, generator, penalty
        self.config = network.config
        self.model = Network(network.config, fast=True).to(self.device)
        self.weights = {name: self._leaf(w) for name, w in network.weights.items()}
        self.heads = {
            video: {name: self._leaf(w) for name, w in head.items()} for video, head in network.heads.items()
        }
        self.videos = torch.cat([torch.full((len(part.frames),), part.video) for part in parts])
        self.table = torch.from_numpy(np.concatenate([part.table for part in parts])).to(self.device)
        frames = np.concatenate([part.frames for part in parts])
        self.loss = FrameLoss(frames, recipe.loss, recipe.ssim_weight, self.device)
        trained = [head for video, head in self.heads.items() if (self.videos == video).any()]
        self.optimiser = SessionOptimiser(
            recipe, self.weights, dict.fromkeys(self.weights), [w for head in trained for w in head.values()]
        )

    def _leaf(self, array: Array) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.device).requires_grad_()

    def run(self) -> tuple[DenseNetwork, float]:
        """Train to the end: the trained network and the seconds it took."""
        start = perf_counter()
        steps = math.ceil(len(self.videos) / self.recipe.batch) * self.recipe.epochs
        step = 0
        while step < steps:
            for batch in torch.randperm(len(self.videos), generator=self.generator).split(self.recipe.batch):
                self._step(batch, step, steps)
                step += 1
        seconds = perf_counter() - start
        weights = {name: self._array(w) for name, w in self.weights.items()}
        heads = {video: {name: self._array(w) for name, w in head.items()} for video, head in self.heads.items()}
        return DenseNetwork(self.config, weights, heads), seconds

    def decode(self, batch: Tensor) -> Tensor:
        """Frames [B, 3, H, W] of the training material with these indices, int64 [B], each with its own head."""
        videos = self.videos[batch]
        decoded: list[Tensor | None] = [None] * len(batch)
        for video in videos.unique().tolist():
            places = (videos == video).nonzero().flatten()
            frames = self.model(self.table[batch[places]], self.weights, self.heads[video])
            for place, frame in zip(places.tolist(), frames, strict=True):
                decoded[place] = frame
        return torch.stack([frame for frame in decoded if frame is not None])

    def _step(self, batch: Tensor, step: int, steps: int) -> None:
        factor = learning_rate_factor(step, steps, self.recipe.warmup)
        loss, _ = self.loss(self.decode(batch), batch)
        if self.penalty is not None:
            loss = loss + self.penalty(self.weights)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if not math.isfinite(value := float(loss.detach())):
            raise TrainingError(f"the loss became {value} at step {step} of {steps}; try a lower learning rate")
        self.optimiser.step(factor)

    @staticmethod
    def _array(tensor: Tensor) -> Array:
        array: Array = tensor.detach().cpu().numpy().copy()
        return array
