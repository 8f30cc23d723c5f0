"""The layers of a materialised decoder: each runs in PyTorch and writes itself as ONNX nodes.

No masks, no FFTs, no complex numbers are left at this level. A decoder is a plain list of layers, which
passes rewrite and `pfnr_export.emit` writes out.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_runtime.coding.quantised import step_exponent
from pfnr_train.model.canvas import SLOPE, hard_sigmoid


class Layer(nn.Module, ABC):
    """One step of a decoder. `forward` takes and gives one tensor; `emit` writes the same as ONNX.

    - exact: whether it gives the same bits on every engine, provided that float32 holds its `sums`.
    - inexact: what it computes where it does not, and why engines differ, to follow its name in a sentence.
    """

    exact: bool = False
    inexact: str = "computes what engines round in their own ways"

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Run in PyTorch."""

    @abstractmethod
    def emit(self, graph: Graph, x: str) -> str:
        """Write the layer's nodes after the value `x`; returns the name of its output."""

    def sums(self, x: Tensor) -> Sums | None:
        """What it sums for this input; None for a layer that sums nothing."""
        return None

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = super().__call__(x)
        return y


def as_float32(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor as a contiguous float32 array."""
    array: NDArray[np.float32] = tensor.detach().to(torch.float32).contiguous().numpy()
    return array


@dataclass(frozen=True)
class Sums:
    """What a layer sums. largest: the largest sum of magnitudes. channel: of the output, where it is.

    step: exponent of a power of two that all terms are multiples of.
    """

    largest: float
    channel: int
    step: int

    @property
    def bits(self) -> float:
        """log2 of the largest sum in steps, at least 0."""
        return max(0.0, math.log2(self.largest) - self.step) if self.largest else 0.0


def sums_of(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Sums:
    """The sums of a layer that is linear in x and in weight; its output's axis 1 are channels."""
    found = product(x.abs(), weight.abs(), None if bias is None else bias.abs())
    channels = found.flatten(2).amax((0, 2)) if found.dim() > 2 else found.amax(0)
    # Activations are whole numbers, and some frame has an odd one: most need no closer look.
    step = 0 if torch.equal(x, x.round()) else step_exponent(x.numpy())
    step += step_exponent(weight.numpy())
    if bias is not None and bool(bias.any()):
        step = min(step, step_exponent(bias.numpy()))
    return Sums(float(channels.max()), int(channels.argmax()), step)


class Table(Layer):
    """A row for every frame: int64 [B] → [B, width]. table: [N, width]."""

    exact = True

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x]

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("Gather", [graph.own("table", as_float32(self.table), "frames"), x], axis=0)


class Linear(Layer):
    """x·Wᵀ + b: [B, in] → [B, out]. weight: [out, in]."""

    exact = True

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(F.linear, x, self.weight, self.bias)

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [x, graph.weight("weight", as_float32(self.weight))]
        if self.bias is not None:
            inputs.append(graph.weight("bias", as_float32(self.bias)))
        return graph.node("Gemm", inputs, transB=1)


class Relu(Layer):
    """max(x, 0)."""

    exact = True

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("Relu", [x])


class Activation(Layer):
    """Acts on every number alone, so it may change places with whatever only moves numbers."""


class Silu(Activation):
    """x·sigmoid(x), written as two nodes: no engine older than TensorRT 11 has one for it."""

    inexact = "computes SiLU, whose exponential every engine approximates in its own way"

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("Mul", [x, graph.node("Sigmoid", [x])], name="silu")


class ToMap(Layer):
    """[B, C·h·w] → [B, C, h, w]."""

    exact = True

    def __init__(self, channels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shape = (channels, rows, columns)

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, *self.shape)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.reshape(x, (-1, *self.shape))


class Conv(Layer):
    """k×k convolution that keeps the map's size (k odd). weight: [out, in, k, k]."""

    exact = True

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(partial(F.conv2d, padding=self.weight.shape[-1] // 2), x, self.weight, self.bias)

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [x, graph.weight("weight", as_float32(self.weight))]
        if self.bias is not None:
            inputs.append(graph.weight("bias", as_float32(self.bias)))
        size = self.weight.shape[-1]
        return graph.node("Conv", inputs, kernel_shape=[size, size], pads=[size // 2] * 4)


class PixelShuffle(Layer):
    """[B, C·r², h, w] → [B, C, r·h, r·w], channel order (C, r, r). size: h and w."""

    exact = True

    def __init__(self, stride: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.size = stride, size

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.stride)

    def emit(self, graph: Graph, x: str) -> str:
        return x if self.stride == 1 else graph.node("DepthToSpace", [x], blocksize=self.stride, mode="CRD")


class Branches(Layer):
    """Two lists of layers on one input, their results added (`add`) or joined along channels (`concat`)."""

    exact = True

    def __init__(self, left: nn.Sequential, right: nn.Sequential, combine: str) -> None:
        super().__init__()
        self.left, self.right, self.combine = left, right, combine

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        return left + right if self.combine == "add" else torch.cat([left, right], 1)

    def emit(self, graph: Graph, x: str) -> str:
        outputs = [emit_all(branch, graph, x) for branch in (self.left, self.right)]
        return graph.node("Add", outputs) if self.combine == "add" else graph.node("Concat", outputs, axis=1)


class Head(Layer):
    """The session's 1×1 convolution to RGB: [B, C, H, W] → [B, 3, H, W]. weight: [3, C]."""

    exact = True

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(F.conv2d, x, self.weight[:, :, None, None], self.bias)

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [x, graph.own("weight", as_float32(self.weight[:, :, None, None]))]
        if self.bias is not None:
            inputs.append(graph.own("bias", as_float32(self.bias)))
        return graph.node("Conv", inputs, kernel_shape=[1, 1])


class OutputActivation(Layer):
    """To RGB in [0, 1]: `tanh`, (tanh + 1)/2; `sigmoid`; or `hard_sigmoid`, clip(x/4 + 1/2, 0, 1) of x on a grid.

    scale: of a hard sigmoid, the grid's cells in 1. The layer gets that many times the network's value.
    """

    def __init__(self, kind: str, scale: float = 1.0) -> None:
        super().__init__()
        self.kind, self.scale = kind, scale
        self.exact = kind == "hard_sigmoid"
        self.inexact = f"computes {kind}, which every engine approximates in its own way"

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "hard_sigmoid":
            return hard_sigmoid(torch.round(x) / self.scale)
        return torch.sigmoid(x) if self.kind == "sigmoid" else (torch.tanh(x) + 1) * 0.5

    def emit(self, graph: Graph, x: str) -> str:
        if self.kind == "tanh":
            y = graph.node("Add", [graph.node("Tanh", [x]), graph.scalar(1.0)])
            return graph.node("Mul", [y, graph.scalar(0.5)])
        if self.kind == "sigmoid":
            return graph.node("Sigmoid", [x])
        return graph.node("HardSigmoid", [graph.node("Round", [x])], alpha=SLOPE / self.scale, beta=0.5)

    def emit_steps(self, graph: Graph, x: str) -> str:
        """The same in whole steps of 255."""
        if self.kind == "tanh":
            y = graph.node("Mul", [graph.node("Tanh", [x]), graph.scalar(127.5)])
            y = graph.node("Add", [y, graph.scalar(127.5)])
        else:
            y = graph.node("Mul", [self.emit(graph, x), graph.scalar(255.0)])
        y = graph.node("Round", [y])
        if self.kind == "hard_sigmoid":  # exact, so its steps are 0 to 255; the others' may pass that by an error
            return y
        return graph.node("Clip", [y, graph.scalar(0.0), graph.scalar(255.0)])


class Decoder(nn.Sequential):
    """A materialised decoder: layers from frame_index int64 [B], or the time embedding float32 [B, 4L], to RGB
    frames [B, 3, H, W] in [0, 1].
    """

    def layers(self) -> list[Layer]:
        """The layers in order."""
        return list(self)  # type: ignore[arg-type]


class Pass(Protocol):
    """A rewrite of a decoder into an equal one. Returns the new decoder, or None where it does not apply."""

    def __call__(self, decoder: Decoder) -> Decoder | None: ...


def emit_all(layers: nn.Sequential, graph: Graph, x: str) -> str:
    """Emit layers one after another, each in a scope by its name; returns the last output."""
    outer = graph.scope
    for name, layer in layers.named_children():
        assert isinstance(layer, Layer)
        graph.scope = f"{outer}/{name}" if outer else name
        x = layer.emit(graph, x)
    graph.scope = outer
    return x
