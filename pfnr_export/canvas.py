"""The layers that only a canvas network has, and its decoder: see `pfnr_train.model.canvas` for the network.

Activations are whole numbers here, 2^`FRACTION` times what they are in the network, so that `Round` puts them on
their grid. The frame number goes two ways, each with a table: the cosines of its time, and the place of the panned
canvas's window.
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
    Sums,
    Table,
    ToMap,
    as_float32,
    sums_of,
)
from pfnr_export.passes.subpixel import SubpixelShuffle, subpixel_first
from pfnr_runtime.coding.quantised import step_exponent
from pfnr_runtime.video.time_table import PLACE_FRACTION
from pfnr_train.model.canvas import (
    FRACTION,
    LATENTS,
    PANNED,
    PATH,
    SLOPE,
    STILL,
    hard_sigmoid,
    on_grid,
    window,
    window_places,
)
from pfnr_train.model.config import ModelConfig

SCALE = 2.0**FRACTION


class Cosines(Layer):
    """Maps of every cosine of time, weighted: [B, K] → [B, C·h·w]. weight: [K, C·h·w]."""

    exact = True

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(F.linear, x, self.weight.T)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("MatMul", [x, graph.weight("weight", as_float32(self.weight))])


class Rounded(Layer):
    """The nearest whole number, halves to even."""

    exact = True

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("Round", [x])


class HardSwish(Activation):
    """x·clip(x/4 + 1/2, 0, 1) of x = n / 2^`FRACTION`, n whole: in terms of n, and rounded."""

    exact = True

    def forward(self, x: Tensor) -> Tensor:
        n = torch.round(x)
        return torch.round(n * hard_sigmoid(n / SCALE))

    def emit(self, graph: Graph, x: str) -> str:
        n = graph.node("Round", [x])
        gate = graph.node("HardSigmoid", [n], alpha=SLOPE / SCALE, beta=0.5)
        return graph.node("Round", [graph.node("Mul", [n, gate])], name="hard_swish")


class StillCanvas(Layer):
    """A picture joined to every map as more channels: [B, C, h, w] → [B, C + c, h, w]. canvas: [c, h, w]."""

    exact = True

    def __init__(self, canvas: Tensor) -> None:
        super().__init__()
        self.canvas = nn.Parameter(canvas, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.canvas.expand(len(x), -1, -1, -1)], 1)

    def emit(self, graph: Graph, x: str) -> str:
        stored = graph.weight("canvas", as_float32(self.canvas[None]))
        # As many copies as the batch has frames. A channel of zeros broadcasts it: of floats alone, so that every
        # precision and engine takes it.
        channel = graph.node("Slice", [x, graph.integers([0]), graph.integers([1]), graph.integers([1])])
        zeros = graph.node("Mul", [channel, graph.scalar(0.0)])
        return graph.node("Concat", [x, graph.node("Add", [zeros, stored])], axis=1)


class PannedCanvas(Layer):
    """The window of a canvas at a place: [B, 2] → [B, c, h, w].

    canvas: [c, H, W]. size: h and w.
    """

    exact = True

    def __init__(self, canvas: Tensor, size: tuple[int, int]) -> None:
        super().__init__()
        self.canvas = nn.Parameter(canvas, requires_grad=False)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return window(self.canvas, x, self.size)

    def sums(self, x: Tensor) -> Sums | None:
        # The two matrices have weights of 2^-PLACE_FRACTION, at most 1 together.
        largest = self.canvas.abs().amax((1, 2))
        step = step_exponent(self.canvas.numpy()) - 2 * PLACE_FRACTION
        return Sums(float(largest.max()), int(largest.argmax()), step)

    def emit(self, graph: Graph, x: str) -> str:
        rows, columns = (self._band(graph, x, axis) for axis in (0, 1))
        canvas = graph.weight("canvas", as_float32(self.canvas[None]))
        narrowed = graph.node("MatMul", [canvas, graph.transpose(columns, (0, 1, 3, 2))], name="columns")
        return graph.node("MatMul", [rows, narrowed], name="rows")

    def _band(self, graph: Graph, places: str, axis: int) -> str:
        """The matrix that takes a window of one axis: [B, 1, size, canvas], two values per row."""
        size, cells = self.size[axis], self.canvas.shape[1 + axis]
        start = graph.node("Gather", [places, graph.integers([axis])], axis=1)
        start = graph.node("Clip", [start, graph.scalar(0.0), graph.scalar(float(cells - size))])
        start = graph.reshape(start, (-1, 1, 1, 1))
        wanted = graph.constant(f"wanted.{axis}", np.arange(size, dtype=np.float32).reshape(1, 1, size, 1))
        stored = graph.constant(f"cells.{axis}", np.arange(cells, dtype=np.float32).reshape(1, 1, 1, cells))
        distance = graph.node("Abs", [graph.node("Add", [start, graph.node("Sub", [wanted, stored])])])
        return graph.node("Max", [graph.node("Sub", [graph.scalar(1.0), distance]), graph.scalar(0.0)])


def whole_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a canvas network, or its head, as its layers hold them: what adds to an activation is scaled, and
    the still canvas is on the grid.
    """
    scaled = {n: w * SCALE if n in (LATENTS, PANNED) or n.endswith("bias") else w for n, w in weights.items()}
    return scaled | {n: on_grid(w) * SCALE for n, w in weights.items() if n == STILL}


def canvas_layers(
    config: ModelConfig, table: Tensor, weights: Mapping[str, Tensor], head: Mapping[str, Tensor]
) -> OrderedDict[str, nn.Module]:
    """A canvas network's layers. table: the cosines of every frame, [N, K]."""
    assert config.canvas is not None
    canvas, blocks = config.canvas, config.blocks()
    places = window_places(table, weights[PATH]).to(table.dtype)
    weights, head = whole_tensors(weights), whole_tensors(head)
    before: OrderedDict[str, nn.Module] = OrderedDict()
    before["time"] = Table(table)
    before["latents"] = Cosines(weights[LATENTS].flatten(1).contiguous())
    before["map"] = ToMap(config.channels, *config.grid)
    before["rounded"] = Rounded()
    after: OrderedDict[str, nn.Module] = OrderedDict()
    for block in blocks:
        layers, name = (before if block.index < canvas.panned_block else after), f"block_{block.index}"
        if block.index == canvas.still_block:
            layers["still"] = StillCanvas(weights[STILL])
        conv = f"block.{block.index}.conv"
        layers[f"{name}_conv"] = Conv(weights[f"{conv}.weight"], weights.get(f"{conv}.bias"))
        if block.stride > 1 or canvas.enlarge == 1:
            layers[f"{name}_shuffle"] = PixelShuffle(block.stride, (block.rows, block.columns))
        layers[f"{name}_act"] = HardSwish()
    size = blocks[canvas.panned_block].rows, blocks[canvas.panned_block].columns
    panned: OrderedDict[str, nn.Module] = OrderedDict(
        places=Table(places), window=PannedCanvas(weights[PANNED], size), rounded=Rounded()
    )
    made: OrderedDict[str, nn.Module] = OrderedDict()
    made["canvases"] = Branches(nn.Sequential(before), nn.Sequential(panned), "concat")
    made |= after
    if canvas.enlarge == 1:
        made["head"] = Head(head["weight"], head.get("bias"))
    else:
        weight = head["weight"][:, :, None, None]
        made["head"] = subpixel_first(Conv(weight, head.get("bias")), canvas.enlarge)
        size = blocks[-1].rows, blocks[-1].columns
        made["head_shuffle"] = SubpixelShuffle(canvas.enlarge, (3, *size))
    made["output"] = OutputActivation(config.output, SCALE)
    return made
