"""The layers of an exact decoder in 8 bits, and so the definition of its frames.

    8 bits ─ convolution ─ 8 bits ─ hard swish ─ joined with a canvas ─ 8 bits ─ convolution ...

Q(v, s) = clip(round(v / s), −128, 127), halves to even. Every step s is a power of two.

- Activations become x = s·Q(v − c, s): 256 values from c − 128·s upwards, less c.
- A convolution's weights become w = t·Q(weight, t), with the least step t for each output channel that leaves them
  at most `MOST_WEIGHT` steps, and the bias b at most `MOST_BIAS`. Its sums Σ w·x + b are whole numbers of steps
  t·s, since b is rounded to that step.
- What was taken off in front of a convolution (c, where nothing is padded) is in its bias, and so is what is taken
  off its sums. That is added back behind the 8 bits, whose zero point is thus 0 as TensorRT wants.

An engine may compute this in int8 and int32, or in float32 that holds all of it (`pfnr_export.exactness`), and
fuse what it likes. It may also add pairs of products of unsigned and signed bytes in 16 bits and saturate, as x86
without VNNI does: no two weights of a channel reach that (`Int8Conv.largest_pair`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfnr_export.canvas import SCALE
from pfnr_export.graph import Graph
from pfnr_export.layers import Activation, Layer, Sums, as_float32, sums_of
from pfnr_train.model.canvas import SLOPE, hard_sigmoid

LEAST, MOST = -128, 127
STEPS = MOST - LEAST
MOST_WEIGHT = 64
MOST_BIAS = 1 << 23
MOST_BYTE = 255
MOST_PAIR, MOST_SUM = (1 << 15) - 1, (1 << 31) - 1  # what signed sums of 16 and of 32 bits hold


def in_steps(x: Tensor, step: Tensor | float) -> Tensor:
    """Q(x, step) of the module."""
    return torch.round(x / step).clamp(LEAST, MOST)


@dataclass(frozen=True)
class Grid:
    """256 values: step times −128 to 127, plus shift. step: a power of two.

    low: the least of them, a whole number of half steps; None where they lie around 0.
    """

    step: float
    low: float | None = None

    @property
    def shift(self) -> float:
        """The value in the middle."""
        return 0.0 if self.low is None else self.low - LEAST * self.step

    @property
    def most(self) -> float:
        """The largest value."""
        return self.shift + MOST * self.step

    def finer(self) -> Grid:
        """With half the step: large values are clipped."""
        return Grid(self.step / 2) if self.low is None else Grid.from_low(self.low, self.step / 2)

    @classmethod
    def from_low(cls, low: float, step: float) -> Grid:
        """The grid that begins at `low`, or a step below: ONNX Runtime would remove the addition of a shift of 0,
        and with it the 8 bits' single reader, without which it leaves a convolution in float.
        """
        grid = cls(step, low)
        return grid if grid.shift else cls(step, low - step)


class Int8(Layer):
    """s·Q(x, s). step: s."""

    exact = True

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return in_steps(x, self.step) * self.step

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [graph.scalar(self.step), _zero(graph)]
        quantised = graph.node("QuantizeLinear", [x, *inputs])
        return graph.node("DequantizeLinear", [quantised, *inputs])


class Int8Conv(Layer):
    """A convolution of 8-bit activations x − `around.shift`, less `sums.shift`, with 8-bit weights.

    The graph holds the float weights and quantises them, so that a packed video derives them as usual.

    - weight: float32 [out, in, k, k]. bias: float32 [out] or None.
    - around: the grid of its input; it has a shift only where k is 1, since padding is 0.
    - shift: of the grid of its sums.
    """

    exact = True

    def __init__(self, weight: Tensor, bias: Tensor | None, around: Grid, shift: float) -> None:
        super().__init__()
        assert weight.shape[-1] == 1 or not around.shift
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.steps = weight_steps(weight)
        while True:
            wide = self.steps.view(-1, 1, 1, 1)
            self.whole = in_steps(weight, wide)
            low = self.whole * wide
            wanted = low.sum((1, 2, 3)) * around.shift - shift + (0 if bias is None else bias)
            self.whole_bias = torch.round(wanted / (self.steps * around.step))
            if not (beyond := self.whole_bias.abs() > MOST_BIAS).any():
                break
            self.steps = torch.where(beyond, 2 * self.steps, self.steps)
        self.low = nn.Parameter(low, requires_grad=False)
        self.bias = nn.Parameter(self.whole_bias * self.steps * around.step, requires_grad=False)

    @property
    def largest_sum(self) -> int:
        """The largest sum of any bytes from 0 to 255 times an output channel's weights, and bias, in steps."""
        return int((MOST_BYTE * self.whole.abs().sum((1, 2, 3)) + self.whole_bias.abs()).max())

    @property
    def largest_pair(self) -> int:
        """The largest sum of two products of a byte from 0 to 255 and a weight of one output channel, in steps."""
        signed = torch.cat([self.whole.clamp(min=0), -self.whole.clamp(max=0)]).flatten(1)
        return MOST_BYTE * int(signed.topk(min(2, signed.shape[1]), 1).values.sum(1).max())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.low, self.bias, padding=self.weight.shape[-1] // 2)

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(partial(F.conv2d, padding=self.weight.shape[-1] // 2), x, self.low, self.bias)

    def emit(self, graph: Graph, x: str) -> str:
        weight = graph.weight("weight", as_float32(self.weight))
        steps = graph.constant("steps", as_float32(self.steps))
        grid = [steps, graph.constant("zeros", np.zeros(len(self.steps), np.int8))]
        for way in ("Quantize", "Dequantize"):
            weight = graph.node(f"{way}Linear", [weight, *grid], name=f"weight_{way.lower()}d", axis=0)
        size = self.weight.shape[-1]
        inputs = [x, weight, graph.weight("bias", as_float32(self.bias))]
        return graph.node("Conv", inputs, kernel_shape=[size, size], pads=[size // 2] * 4)


class Shifted(Layer):
    """x + shift."""

    exact = True

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("Add", [x, graph.scalar(self.shift)])


class Int8HardSwish(Activation):
    """y·clip(y/4 + 1/2, 0, 1) of y = x + shift, in units of 2^-`FRACTION`, x in 8 bits.

    rounded: whether to whole units; not in front of 8 bits, which round anyway.
    """

    exact = True

    def __init__(self, shift: float, rounded: bool) -> None:
        super().__init__()
        self.shift, self.rounded = shift, rounded

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.shift
        y = y * hard_sigmoid(y / SCALE)
        return torch.round(y) if self.rounded else y

    def emit(self, graph: Graph, x: str) -> str:
        y = graph.node("Add", [x, graph.scalar(self.shift)])
        gate = graph.node("HardSigmoid", [y], alpha=SLOPE / SCALE, beta=0.5)
        y = graph.node("Mul", [y, gate], name="hard_swish")
        return graph.node("Round", [y]) if self.rounded else y


def power_of_two(least: float) -> float:
    """The smallest power of two that is at least this much."""
    return float(2.0 ** np.ceil(np.log2(max(least, 2.0**-64))))


def weight_steps(weight: Tensor) -> Tensor:
    """By output channel, the smallest power of two of which no weight is more than `MOST_WEIGHT`."""
    largest = weight.abs().flatten(1).amax(1)
    return torch.tensor([power_of_two(float(most) / MOST_WEIGHT) for most in largest], dtype=weight.dtype)


def _zero(graph: Graph) -> str:
    """The zero point of all activations."""
    scope, graph.scope = graph.scope, ""
    name = "int8/zero"
    name = name if name in graph.initializers else graph.constant(name, np.array(0, np.int8))
    graph.scope = scope
    return name
