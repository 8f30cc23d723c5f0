"""Checkpoint-shaped dictionaries of random weights, and the reference decoder in a few lines of our own.

The decoder here is written from the paper and the checkpoint's layout alone, in float32 and through FFTs; it
shares nothing with the importer it tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """A network of the reference code by its flags. modes: half the modes kept, None for all of the map."""

    grid: tuple[int, int] = (5, 8)
    channels: int = 6
    strides: tuple[int, ...] = (2, 2)
    lower_width: int = 4
    stem: int = 10
    base: float = 1.25
    levels: int = 6
    freq: int = 1
    cat_size: int = -1
    bias: bool = False
    sigmoid: bool = False
    tasks: int = 2
    modes: tuple[int, int] | None = None
    widths: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        widths = [self.channels]
        for stride in self.strides[1:]:
            widths.append(max(widths[-1] // (1 if stride == 1 else 2), self.lower_width))
        object.__setattr__(self, "widths", tuple(widths))

    def flags(self, frames: int = 4) -> list[str]:
        """The command line that says all this."""
        given = ["--fc-hw-dim", f"{self.grid[0]}_{self.grid[1]}_{self.channels}"]
        given += ["--strides", *map(str, self.strides), "--embed", f"{self.base}_{self.levels}"]
        given += ["--frames", ",".join([str(frames)] * self.tasks)]
        return given + (["--sigmoid"] if self.sigmoid else [])


def make_checkpoint(shape: Shape, seed: int = 0) -> dict[str, Any]:
    """Random weights, scores and masks in the layout of the reference code's files."""
    generator = torch.Generator().manual_seed(seed)

    def values(*size: int) -> Tensor:
        return torch.randn(size, generator=generator) / math.sqrt(max(1, math.prod(size[1:])))

    state: dict[str, Tensor] = {}
    maskable: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *size: int) -> None:
        state[f"{name}.weight"], state[f"{name}.w_m"] = values(*size) * 3, values(*size)
        maskable[f"{name}.weight"] = size
        if shape.bias:
            state[f"{name}.bias"], state[f"{name}.b_m"] = values(size[0]) * 0.3, values(size[0])
            maskable[f"{name}.bias"] = size[:1]

    rows, columns = shape.grid
    layer("stem.mlp_fc1", shape.stem, 4 * shape.levels)
    layer("stem.mlp_fc2", rows * columns * shape.channels, shape.stem)
    width = shape.channels
    fourier: dict[str, tuple[int, ...]] = {}
    for i, stride in enumerate(shape.strides):
        out = shape.widths[i]
        if i != shape.freq:
            layer(f"layers.{i}.conv.conv", out * stride**2, width, 3, 3)
        else:
            mixed = shape.cat_size if shape.cat_size > 0 else out
            if shape.cat_size > 0:
                layer(f"layers.{i}.conv.conv", (out - mixed) * stride**2, width, 3, 3)
            size = (width, mixed, *(shape.modes or (rows // 2, columns // 2)))
            for part in ("real", "imag"):
                for band in (0, 1):
                    name = f"layers.{i}.conv.conv_freq"
                    state[f"{name}.weight_{part}.{band}"] = values(*size) * 3 * size[0]
                    state[f"{name}.w_m_{part}.{band}"] = values(*size)
                    state[f"{name}.ones_weight.{band}"] = torch.ones(size)
                    state[f"{name}.zeros_weight.{band}"] = torch.zeros(size)
                fourier[f"layers.{i}.conv.conv_freq.weight_{part}"] = size
        width, rows, columns = out, rows * stride, columns * stride
    for task in range(shape.tasks):
        state[f"head_layers.{task}.weight"] = values(3, width, 1, 1) * 2
        if shape.bias:
            state[f"head_layers.{task}.bias"] = values(3) * 0.3
    masks: dict[int, dict[str, Any]] = {}
    for task in range(shape.tasks):
        masks[task] = {
            n: (torch.rand(size, generator=generator) < 0.7).to(torch.uint8) for n, size in maskable.items()
        }
        for name, size in fourier.items():
            masks[task][name] = [(torch.rand(size, generator=generator) < 0.7).float() for _ in range(2)]
        if not shape.bias:
            masks[task]["stem.mlp_fc1.bias"] = None
    return {
        "epoch": 3,
        "task_id": shape.tasks - 1,
        "taskcla": [(task, f"clip{task}") for task in range(shape.tasks)],
        "state_dict": state,
        "per_task_masks": masks,
        "per_best_masks": {},
        "consolidated_masks": {},
    }


def decode(checkpoint: dict[str, Any], shape: Shape, task: int, frame: int, frames: int) -> Tensor:
    """The reference decoder's frame: float32 [3, H, W] in [0, 1]."""
    masks = checkpoint["per_task_masks"][task]
    state = checkpoint["state_dict"]

    def masked(name: str) -> Tensor | None:
        return state[name] * masks[name] if name in state else None

    def encode(position: float) -> Tensor:
        p = torch.tensor([position])
        parts = [wave(p * shape.base**i * math.pi) for i in range(shape.levels) for wave in (torch.sin, torch.cos)]
        return torch.stack(parts, 1)

    x = torch.cat([encode(frame / frames), encode((task + 1) / (shape.tasks + 1))], 1)
    for name in ("stem.mlp_fc1", "stem.mlp_fc2"):
        weight = masked(f"{name}.weight")
        assert weight is not None
        x = F.relu(F.linear(x, weight, masked(f"{name}.bias")))
    x = x.view(1, shape.channels, *shape.grid)
    for i, stride in enumerate(shape.strides):
        parts = []
        weight = masked(f"layers.{i}.conv.conv.weight")
        if weight is not None:
            y = F.conv2d(x, weight, masked(f"layers.{i}.conv.conv.bias"), padding=1)
            parts.append(F.pixel_shuffle(y, stride))
        if i == shape.freq:
            parts.append(_spectral(x, state, masks, f"layers.{i}.conv.conv_freq", stride))
        x = F.silu(torch.cat(parts, 1))
    rgb = F.conv2d(x, state[f"head_layers.{task}.weight"], state.get(f"head_layers.{task}.bias"))
    return (torch.sigmoid(rgb) if shape.sigmoid else (torch.tanh(rgb) + 1) / 2)[0]


def _spectral(x: Tensor, state: dict[str, Tensor], masks: dict[str, Any], name: str, stride: int) -> Tensor:
    _, _, H, W = x.shape
    spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="forward")
    real = [state[f"{name}.weight_real.{band}"] * masks[f"{name}.weight_real"][band] for band in (0, 1)]
    imag = [state[f"{name}.weight_imag.{band}"] * masks[f"{name}.weight_imag"][band] for band in (0, 1)]
    m1, m2 = real[0].shape[2:]
    mixed = torch.zeros(1, real[0].shape[1], H, W // 2 + 1, dtype=torch.complex64)
    for band, rows in enumerate((slice(0, m1), slice(H - m1, H))):
        part = spectrum[:, :, rows, :m2]
        mixed[:, :, rows, :m2] = torch.einsum("bixy,ioxy->boxy", part, torch.complex(real[band], imag[band]))
    # The larger size is asked of the inverse transform alone, which pads both axes at their ends.
    return torch.fft.irfftn(mixed, s=(H * stride, W * stride), dim=(-2, -1), norm="forward")
