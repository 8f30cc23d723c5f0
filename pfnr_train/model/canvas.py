"""The canvas network: what a video shows that stays or only moves is learnt once, as pictures of channels.

    c(t) [K] ─ linear ─▶ C_0×h×w ─ conv, shuffle, act ─┬─▶ conv, shuffle, act ─┬─▶ conv, act, head, shuffle ─▶ RGB
                                  still canvas ────────┘                       │
    c(t) ─ linear ─▶ offset(t) ─▶ window of the panned canvas ─────────────────┘

A network for speed enlarges in its head: nothing but RGB ever has the frame's size.

    ... ─ conv, act ─▶ C×h×w ─ head to 3·r² sub-pixels, shuffle ─▶ RGB of r·h × r·w

c(t) are the first K cosines of time (DCT-II): the first layer's weights are maps that change ever more quickly,
and most of the quick ones come out 0. The still canvas is the same for all frames: what a camera at rest sees. The
panned canvas is larger than the frame; each frame sees a window of it, placed to a fraction of a cell by bilinear
interpolation, which is two products with banded matrices. Both join a block's input as more channels.

All of it is exact. Weights and cosines are whole numbers times powers of two; activations are rounded to multiples
of 2^-`FRACTION`, the window's offset to multiples of 2^-`PLACE_FRACTION`; every function is made of exact
operations. Sums are then whole numbers of some power of two, and float32 holds them whatever the order as long as
they stay below 2^24 of it, which the exporter proves for each session. In training, gradients go straight through
the roundings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.record import require_fields
from pfnr_runtime.video.time_table import PLACE_FRACTION

LATENTS, STILL, PANNED, PATH = "latents.weight", "still.canvas", "panned.canvas", "panned.path"
MAX_SIZE = 4096
MAX_ENLARGE = 16
FRACTION = 8
OUTPUT = "hard_sigmoid"  # of `ModelConfig.output`, which no other network has


@dataclass(frozen=True)
class CanvasConfig:
    """What a canvas network has that the published one has not.

    - terms: K, cosines of time.
    - widths: output channels of each block.
    - kernels: sides of each block's convolution, odd.
    - still, still_block: channels of the still canvas, and the block whose input it joins.
    - panned, panned_block: likewise of the panned one; it needs a later block.
    - margin: rows and columns by which the panned canvas is larger than the map it joins.
    - enlarge: r, by which the head enlarges the last map; 1 for a head that gives a colour at each of its places.
    """

    terms: int = 64
    widths: tuple[int, ...] = (16, 12, 16)
    kernels: tuple[int, ...] = (1, 3, 3)
    still: int = 4
    still_block: int = 1
    panned: int = 4
    panned_block: int = 2
    margin: tuple[int, int] = (48, 160)
    enlarge: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.terms <= 1024:
            raise UsageError(f"{self.terms} cosines of time are outside 1 to 1024")
        if not self.widths or any(not 1 <= width <= 4096 for width in self.widths):
            raise UsageError(f"block widths {self.widths} must be 1 to 4096")
        if len(self.kernels) != len(self.widths) or any(k not in (1, 3, 5, 7) for k in self.kernels):
            raise UsageError(
                f"kernels {self.kernels} must be 1, 3, 5 or 7, one for each of {len(self.widths)} blocks"
            )
        if not 0 < self.still_block < self.panned_block < len(self.widths):
            raise UsageError(
                f"canvases at blocks {self.still_block} and {self.panned_block} of {len(self.widths)}: the still "
                "one comes first, and neither joins block 0"
            )
        if not (1 <= self.still <= 256 and 1 <= self.panned <= 256):
            raise UsageError(f"{self.still} and {self.panned} canvas channels are outside 1 to 256")
        if len(self.margin) != 2 or any(not 1 <= side <= MAX_SIZE for side in self.margin):
            raise UsageError(f"a margin of {self.margin} cells is outside 1 to {MAX_SIZE}")
        if not 1 <= self.enlarge <= MAX_ENLARGE:
            raise UsageError(f"a head that enlarges by {self.enlarge} is outside 1 to {MAX_ENLARGE}")

    def joined(self, block: int) -> int:
        """Canvas channels that join the input of a block."""
        return self.still * (block == self.still_block) + self.panned * (block == self.panned_block)

    def shapes(self, grid: tuple[int, int], channels: int, strides: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The tensors it adds, by name."""
        sizes = [grid]
        for stride in strides:
            sizes.append((sizes[-1][0] * stride, sizes[-1][1] * stride))
        rows, columns = sizes[self.panned_block]
        return {
            LATENTS: (self.terms, channels, *grid),
            STILL: (self.still, *sizes[self.still_block]),
            PANNED: (self.panned, rows + self.margin[0], columns + self.margin[1]),
            PATH: (2, self.terms),
        }

    def stretched(self, blocks: int) -> CanvasConfig:
        """The same for a network of more blocks: the one behind the panned canvas is repeated."""
        extra = blocks - len(self.widths)
        last = self.panned_block
        return replace(
            self,
            widths=(*self.widths[:last], *[self.widths[last]] * extra, *self.widths[last:]),
            kernels=(*self.kernels[:last], *[self.kernels[last]] * extra, *self.kernels[last:]),
        )

    def head_shape(self, channels: int) -> tuple[int, ...]:
        """The shape of the head's weight, for a last map of so many channels."""
        return (3 * self.enlarge**2, channels)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types. What older networks have not is absent where it does nothing."""
        value = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if self.enlarge == 1:
            del value["enlarge"]
        return value

    @classmethod
    def from_json(cls, value: Any) -> CanvasConfig:
        """From plain JSON types; a ValueError or UsageError names what is wrong."""
        given = require_fields(value, cls, ("enlarge",))
        for key in ("widths", "kernels", "margin"):
            if not isinstance(given[key], list) or not all(type(n) is int for n in given[key]):
                raise ValueError(f"CanvasConfig.{key} must be a list of whole numbers, not {given[key]!r}")
            given[key] = tuple(given[key])
        return cls(**given)


SLOPE = 0.25  # of the hard sigmoid


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x * 2.0**FRACTION) * 2.0**-FRACTION

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class _Colour(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return hard_sigmoid(on_grid(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * SLOPE


def on_grid(x: Tensor) -> Tensor:
    """An activation rounded to a multiple of 2^-`FRACTION`, halves to even; gradients go straight through."""
    return _OnGrid.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def hard_sigmoid(x: Tensor) -> Tensor:
    """clip(x/4 + 1/2, 0, 1)."""
    return (x * SLOPE + 0.5).clamp(0, 1)


def hard_swish(x: Tensor) -> Tensor:
    """x·clip(x/4 + 1/2, 0, 1), on the grid: close to SiLU. x is put on the grid first, so the product is exact."""
    x = on_grid(x)
    return on_grid(x * hard_sigmoid(x))


def colour(x: Tensor) -> Tensor:
    """The hard sigmoid of the head's sums on the grid: a quarter of a step of 255.

    Its gradient is that of x/4 everywhere: a colour that is out of range comes back.
    """
    return _Colour.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def window_places(cosines: Tensor, path: Tensor) -> Tensor:
    """The offset of the panned canvas's window at each time, float64 [B, 2] in rows and columns.

    cosines: [B, K]. path: [2, K]. Summed in float64, which holds these sums exactly, and rounded to multiples of
    2^-`PLACE_FRACTION`; gradients go straight through.
    """
    offsets = cosines.double() @ path.double().T
    scale = 2.0**PLACE_FRACTION
    return offsets + (torch.round(offsets * scale) / scale - offsets).detach()


def window(canvas: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """The window of a canvas [C, H, W] at each of these offsets, [B, 2] in rows and columns: [B, C, *size].

    Offsets are cut to where the window lies inside. Between cells it is bilinear.
    """
    parts = []
    for axis in (0, 1):
        room = canvas.shape[1 + axis] - size[axis]
        starts = offsets[:, axis].clamp(0, room)
        wanted = torch.arange(size[axis], dtype=canvas.dtype, device=canvas.device)
        cells = torch.arange(canvas.shape[1 + axis], dtype=canvas.dtype, device=canvas.device)
        # Whole numbers first: what is left of the offset is then exact wherever the weight is not 0.
        parts.append((1 - (starts[:, None, None] + (wanted[:, None] - cells)).abs()).clamp(min=0))
    rows, columns = parts
    return rows[:, None] @ (canvas[None] @ columns.mT[:, None])


class CanvasNetwork(nn.Module):
    """The canvas network of a library, without weights.

    `forward(cosines [B, K], weights, head)` gives frames [B, 3, H, W] in [0, 1]; weights are by the names of
    `ModelConfig.tensor_shapes`. fast: lay maps out channels last, as training does.
    """

    def __init__(self, config: Any, *, fast: bool) -> None:
        super().__init__()
        self.config, self.canvas, self.blocks, self.fast = config, config.canvas, config.blocks(), fast

    def forward(self, cosines: Tensor, weights: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        x = on_grid(cosines @ weights[LATENTS].flatten(1)).view(-1, self.config.channels, *self.config.grid)
        for block in self.blocks:
            if block.index == self.canvas.still_block:
                x = torch.cat([x, on_grid(weights[STILL]).expand(len(x), -1, -1, -1)], 1)
            if block.index == self.canvas.panned_block:
                places = window_places(cosines, weights[PATH]).to(weights[PANNED].dtype)
                x = torch.cat([x, on_grid(window(weights[PANNED], places, (x.shape[2], x.shape[3])))], 1)
            if self.fast:
                x = x.contiguous(memory_format=torch.channels_last)
            name = f"block.{block.index}.conv"
            x = F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=block.kernel // 2)
            x = hard_swish(x)
            if block is not self.blocks[-1]:
                x = F.pixel_shuffle(x, block.stride)
        return colour(self._head(x, head))

    def _head(self, x: Tensor, head: Mapping[str, Tensor]) -> Tensor:
        # A head that does not enlarge acts on each place alone, so before the shuffle it is one linear layer on
        # sub-pixels.
        r, weight, bias = self.canvas.enlarge, head["weight"], head.get("bias")
        if r == 1:
            r = self.blocks[-1].stride
            weight = torch.kron(weight, torch.eye(r * r, dtype=x.dtype, device=x.device))
            bias = None if bias is None else bias.repeat_interleave(r * r)
        return F.pixel_shuffle(F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2), r)
