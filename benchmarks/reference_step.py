"""A training step in the manner of the authors' released code, in our own words, for comparison only.

What it does as they do: every mask by a k-th value over the whole score tensor at every forward, mode
mixing through rfft2/irfft2 with weights laid out modes last, every channel shuffled before the head, SSIM
from depthwise convolutions over both frames, Adam without a fused kernel. Network, masks' densities,
loss and batch are the same as ours.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_msssim import ssim
from torch import Tensor

from pfnr_train.config import ModelConfig
from pfnr_train.recipe import Recipe


class _KthValueMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor, density: float) -> Tensor:  # type: ignore[no-untyped-def, override]
        k = 1 + round((1 - density) * (scores.numel() - 1))
        threshold = scores.view(-1).kthvalue(k).values.item()
        return torch.where(scores < threshold, torch.zeros_like(scores), torch.ones_like(scores))

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def, override]
        return gradient, None


class ReferenceTraining:
    """The same session as `SessionTraining`, stepped their way. frames: uint8 [N, H, W, 3]; table: [N, 4L]."""

    def __init__(
        self, config: ModelConfig, frames: NDArray[np.uint8], table: NDArray[np.float32], recipe: Recipe
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.config, self.recipe = config, recipe
        self.frames, self.table = torch.from_numpy(frames), torch.from_numpy(table)
        shapes = self._modes_last(config)
        self.weights = {name: self._draw(shape) for name, shape in shapes.items()}
        self.scores = {name: self._draw(shape) for name, shape in shapes.items()}
        self.head = self._draw((3, config.blocks()[-1].out_channels, 1, 1))
        self.optimiser = torch.optim.Adam(
            [*self.weights.values(), *self.scores.values(), self.head],
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            foreach=False,
        )

    @staticmethod
    def _modes_last(config: ModelConfig) -> dict[str, tuple[int, ...]]:
        shapes = dict(config.tensor_shapes())
        for block in config.blocks():
            if block.fourier_channels:
                del shapes[f"block.{block.index}.fourier.weight"]
                shape = (block.in_channels, block.fourier_channels, *block.modes)
                for band in (0, 1):
                    for part in ("real", "imag"):
                        shapes[f"block.{block.index}.{part}.{band}"] = shape
        return shapes

    @staticmethod
    def _draw(shape: tuple[int, ...]) -> Tensor:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        return torch.empty(shape).uniform_(-bound, bound).requires_grad_()

    def _masked(self, name: str) -> Tensor:
        mask: Tensor = _KthValueMask.apply(self.scores[name], self.recipe.density)
        return mask * self.weights[name]

    def _forward(self, embedding: Tensor) -> Tensor:
        x = F.relu(F.linear(embedding, self._masked("stem.0.weight")))
        x = F.relu(F.linear(x, self._masked("stem.1.weight")))
        x = x.view(-1, self.config.channels, *self.config.grid)
        for block in self.config.blocks():
            if block.fourier_channels:
                x = F.silu(self._fourier(block.index, x, block.stride, block.fourier_channels, *block.modes))
            else:
                weight = self._masked(f"block.{block.index}.conv.weight")
                x = F.silu(F.pixel_shuffle(F.conv2d(x, weight, padding=1), block.stride))
        return (torch.tanh(F.conv2d(x, self.head)) + 1) * 0.5

    def _fourier(self, index: int, x: Tensor, stride: int, outputs: int, m1: int, m2: int) -> Tensor:
        batch, _, H, W = x.shape
        spectrum = torch.fft.rfft2(x, norm="forward")
        out = torch.zeros(batch, outputs, H, W // 2 + 1, dtype=torch.cfloat)
        for band, rows in enumerate((slice(None, m1), slice(-m1, None))):
            weight = torch.complex(
                self._masked(f"block.{index}.real.{band}"), self._masked(f"block.{index}.imag.{band}")
            )
            out[:, :, rows, :m2] = torch.einsum("bcuv,couv->bouv", spectrum[:, :, rows, :m2], weight)
        return torch.fft.irfft2(out, s=(H * stride, W * stride), norm="forward")

    def step(self, batch: Tensor) -> float:
        """One step on frames `batch`, int64 [B]; returns the loss."""
        target = self.frames[batch].permute(0, 3, 1, 2).float() / 255
        decoded = self._forward(self.table[batch])
        similarity = ssim(decoded, target, data_range=1, size_average=True)
        loss = 0.7 * (decoded - target).abs().mean() + 0.3 * (1 - similarity)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())
