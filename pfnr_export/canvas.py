"""The layers that only a canvas network has, and its decoder: see `pfnr_train.model.canvas` for the network.

The time row goes two ways, so everything in front of the panned canvas is one branch and its window the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_export.layers import (
    Activation,
    Branches,
    Conv,
    Head,
    Layer,
    OutputActivation,
    PixelShuffle,
    ToMap,
    as_float32,
)
from pfnr_train.model.canvas import LATENTS, PANNED, PATH, STILL, window
from pfnr_train.model.config import ModelConfig


class Cosines(Layer):
    """Maps of every cosine of time, weighted: [B, K] → [B, C·h·w]. weight: [K, C·h·w]."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("MatMul", [x, graph.weight("weight", as_float32(self.weight))])


class HardSwish(Activation):
    """x·clip(x/6 + 1/2, 0, 1), written out: not every engine has one operator for it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)

    def emit(self, graph: Graph, x: str) -> str:
        gate = graph.node("Add", [graph.node("Mul", [x, graph.scalar(1 / 6)]), graph.scalar(0.5)])
        gate = graph.node("Clip", [gate, graph.scalar(0.0), graph.scalar(1.0)])
        return graph.node("Mul", [x, gate], name="hard_swish")


class StillCanvas(Layer):
    """A picture joined to every map as more channels: [B, C, h, w] → [B, C + c, h, w]. canvas: [c, h, w]."""

    def __init__(self, canvas: Tensor) -> None:
        super().__init__()
        self.canvas = nn.Parameter(canvas, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.canvas.expand(len(x), -1, -1, -1)], 1)

    def emit(self, graph: Graph, x: str) -> str:
        stored = graph.weight("canvas", as_float32(self.canvas[None]))
        # As many copies as the batch has frames: its shape is x's but for the channels.
        batch = graph.node("Slice", [graph.node("Shape", [x]), graph.integers([0]), graph.integers([1])])
        shape = graph.node("Concat", [batch, graph.integers(self.canvas.shape)], axis=0)
        return graph.node("Concat", [x, graph.node("Expand", [stored, shape])], axis=1)


class PannedCanvas(Layer):
    """The window of a canvas at each time: [B, K] → [B, c, h, w].

    canvas: [c, H, W]. path: [2, K], rows and columns of the offset. size: h and w.
    """

    def __init__(self, canvas: Tensor, path: Tensor, size: tuple[int, int]) -> None:
        super().__init__()
        self.canvas = nn.Parameter(canvas, requires_grad=False)
        self.path = nn.Parameter(path, requires_grad=False)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return window(self.canvas, x @ self.path.T, self.size)

    def emit(self, graph: Graph, x: str) -> str:
        offsets = graph.node("Gemm", [x, graph.own("path", as_float32(self.path))], transB=1)
        rows, columns = (self._band(graph, offsets, axis) for axis in (0, 1))
        canvas = graph.weight("canvas", as_float32(self.canvas[None]))
        narrowed = graph.node("MatMul", [canvas, graph.transpose(columns, (0, 1, 3, 2))], name="columns")
        return graph.node("MatMul", [rows, narrowed], name="rows")

    def _band(self, graph: Graph, offsets: str, axis: int) -> str:
        """The matrix that takes a window of one axis: [B, 1, size, canvas], two values a row."""
        size, cells = self.size[axis], self.canvas.shape[1 + axis]
        start = graph.node("Gather", [offsets, graph.integers([axis])], axis=1)
        start = graph.node("Clip", [start, graph.scalar(0.0), graph.scalar(float(cells - size))])
        start = graph.reshape(start, (-1, 1, 1, 1))
        wanted = graph.constant(f"wanted.{axis}", np.arange(size, dtype=np.float32).reshape(1, 1, size, 1))
        stored = graph.constant(f"cells.{axis}", np.arange(cells, dtype=np.float32).reshape(1, 1, 1, cells))
        distance = graph.node("Abs", [graph.node("Add", [start, graph.node("Sub", [wanted, stored])])])
        return graph.node("Max", [graph.node("Sub", [graph.scalar(1.0), distance]), graph.scalar(0.0)])


def canvas_layers(
    config: ModelConfig, weights: Mapping[str, Tensor], head: Mapping[str, Tensor]
) -> OrderedDict[str, nn.Module]:
    """A canvas network's layers behind the time table."""
    assert config.canvas is not None
    canvas, blocks = config.canvas, config.blocks()
    before: OrderedDict[str, nn.Module] = OrderedDict()
    before["latents"] = Cosines(weights[LATENTS].flatten(1).contiguous())
    before["map"] = ToMap(config.channels, *config.grid)
    after: OrderedDict[str, nn.Module] = OrderedDict()
    for block in blocks:
        layers, name = (before if block.index < canvas.panned_block else after), f"block_{block.index}"
        if block.index == canvas.still_block:
            layers["still"] = StillCanvas(weights[STILL])
        conv = f"block.{block.index}.conv"
        layers[f"{name}_conv"] = Conv(weights[f"{conv}.weight"], weights.get(f"{conv}.bias"))
        layers[f"{name}_shuffle"] = PixelShuffle(block.stride, (block.rows, block.columns))
        layers[f"{name}_act"] = HardSwish()
    size = blocks[canvas.panned_block].rows, blocks[canvas.panned_block].columns
    panned = nn.Sequential(OrderedDict(window=PannedCanvas(weights[PANNED], weights[PATH], size)))
    made: OrderedDict[str, nn.Module] = OrderedDict()
    made["canvases"] = Branches(nn.Sequential(before), panned, "concat")
    made |= after
    made["head"] = Head(head["weight"], head.get("bias"))
    made["output"] = OutputActivation(config.output)
    return made
