"""The authors' released decoder and training step, in our own words, for comparison only.

What they do as they do it: masks multiplied in at every forward; in training every mask by a k-th value over
the whole score tensor; mode mixing through rfft2/irfft2 with weights laid out modes last; every channel
shuffled before the head; SSIM from depthwise convolutions over both frames; frames decoded
from PNG at every step (from memory here); Adam without a fused kernel.
Network, densities, loss and batch are the same as ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from pytorch_msssim import ssim
from torch import Tensor

from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights
from pfnr_train.session.recipe import Recipe


class _KthValueMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor, density: float) -> Tensor:  # type: ignore[no-untyped-def, override]
        k = 1 + round((1 - density) * (scores.numel() - 1))
        threshold = scores.view(-1).kthvalue(k).values.item()
        return torch.where(scores < threshold, torch.zeros_like(scores), torch.ones_like(scores))

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def, override]
        return gradient, None


def shapes_modes_last(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Tensors as the authors lay them out: four [C, O, m1, m2] for a Fourier block, by band and part."""
    shapes = dict(config.tensor_shapes())
    for block in config.blocks():
        if block.fourier_channels:
            del shapes[f"block.{block.index}.fourier.weight"]
            shape = (block.in_channels, block.fourier_channels, *block.modes)
            for band in (0, 1):
                for part in ("real", "imag"):
                    shapes[f"block.{block.index}.{part}.{band}"] = shape
    return shapes


def modes_last(config: ModelConfig, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors in the authors' layout."""
    laid_out = {name: t for name, t in tensors.items() if ".fourier." not in name}
    for block in config.blocks():
        if block.fourier_channels:
            weight = tensors[f"block.{block.index}.fourier.weight"]
            parts = weight.view(2, *block.modes, block.in_channels, 2, block.fourier_channels)
            for band in (0, 1):
                for k, part in enumerate(("real", "imag")):
                    last = parts[band, :, :, :, k].permute(2, 3, 0, 1).contiguous()
                    laid_out[f"block.{block.index}.{part}.{band}"] = last
    return laid_out


def forward(config: ModelConfig, embedding: Tensor, masked: Callable[[str], Tensor], head: Tensor) -> Tensor:
    """Frames [B, 3, H, W] in [0, 1]; `masked` gives a masked tensor by name, `replace` and no biases only."""
    x = F.relu(F.linear(embedding, masked("stem.0.weight")))
    x = F.relu(F.linear(x, masked("stem.1.weight")))
    x = x.view(-1, config.channels, *config.grid)
    reference = config.fourier is not None and config.fourier.placement == "reference"
    for block in config.blocks():
        if block.fourier_channels:
            x = F.silu(
                _fourier(masked, block.index, x, block.stride, block.fourier_channels, block.modes, reference)
            )
        else:
            x = F.silu(
                F.pixel_shuffle(F.conv2d(x, masked(f"block.{block.index}.conv.weight"), padding=1), block.stride)
            )
    return (torch.tanh(F.conv2d(x, head)) + 1) * 0.5


def _fourier(
    masked: Callable[[str], Tensor],
    index: int,
    x: Tensor,
    stride: int,
    outputs: int,
    modes: tuple[int, int],
    reference: bool,
) -> Tensor:
    (batch, _, H, W), (m1, m2) = x.shape, modes
    spectrum = torch.fft.rfft2(x, norm="forward")
    rows = H if reference else H * stride  # the authors' own placement pads at the end
    out = torch.zeros(batch, outputs, rows, W // 2 + 1, dtype=torch.cfloat)
    for band, kept in enumerate((slice(None, m1), slice(-m1, None))):
        weight = torch.complex(masked(f"block.{index}.real.{band}"), masked(f"block.{index}.imag.{band}"))
        out[:, :, kept, :m2] = torch.einsum("bcuv,couv->bouv", spectrum[:, :, kept, :m2], weight)
    return torch.fft.irfft2(out, s=(H * stride, W * stride), norm="forward")


class ReferenceDecoder:
    """The masked PyTorch model as the authors run it: masks multiplied into modes-last weights at every call."""

    def __init__(self, session: SessionWeights) -> None:
        self.config = session.config
        self.weights = modes_last(session.config, session.weights)
        self.masks = {n: m.float() for n, m in modes_last(session.config, session.masks).items()}
        self.head = session.head["weight"][:, :, None, None]
        self.table = torch.from_numpy(session.time_table)

    @torch.no_grad()
    def __call__(self, frame_index: Tensor) -> Tensor:
        """Frames [B, 3, H, W] in [0, 1] of int64 [B]."""
        return forward(
            self.config, self.table[frame_index], lambda name: self.masks[name] * self.weights[name], self.head
        )


def _png(frame: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "png")
    return file.getvalue()


class ReferenceTraining:
    """The same session as `SessionTraining`, stepped their way: every step decodes its frames from PNG files.

    frames: uint8 [N, H, W, 3]; table: [N, 4L].
    """

    def __init__(
        self, config: ModelConfig, frames: NDArray[np.uint8], table: NDArray[np.float32], recipe: Recipe
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.config, self.recipe = config, recipe
        self.files, self.table = [_png(frame) for frame in frames], torch.from_numpy(table)
        shapes = shapes_modes_last(config)
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
    def _draw(shape: tuple[int, ...]) -> Tensor:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        return torch.empty(shape).uniform_(-bound, bound).requires_grad_()

    def _masked(self, name: str) -> Tensor:
        mask: Tensor = _KthValueMask.apply(self.scores[name], self.recipe.density)
        return mask * self.weights[name]

    def step(self, batch: Tensor) -> float:
        """One step on frames `batch`, int64 [B]; returns the loss."""
        frames = np.stack([np.asarray(Image.open(BytesIO(self.files[i]))) for i in batch.tolist()])
        target = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        decoded = forward(self.config, self.table[batch], self._masked, self.head)
        similarity = ssim(decoded, target, data_range=1, size_average=True)
        loss = 0.7 * (decoded - target).abs().mean() + 0.3 * (1 - similarity)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())
