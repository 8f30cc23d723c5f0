"""Small values that follow from the file: shapes that a graph computes from the shapes of other values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.onnx.tensor import MOST_KEPT
from pfnr_runtime.artifact.sizes.values import NUMPY, Call, Value, axis_of

Numbers = NDArray[Any]


def _divide(left: Numbers, right: Numbers) -> Numbers:
    """Division of whole numbers, rounded towards zero as in C; a ValueError by zero."""
    if not right.all():
        raise ValueError
    if left.dtype.kind == "f":
        return left / right
    towards_zero: Numbers = left // right + ((left % right != 0) & ((left < 0) != (right < 0)))
    return towards_zero


def _gathered(call: Call, numbers: list[Numbers]) -> Numbers:
    return np.take(numbers[0], numbers[1], axis=axis_of(call.integer("axis", 0), numbers[0].ndim))


def _sliced(call: Call, numbers: list[Numbers]) -> Numbers:
    starts, ends = numbers[1].reshape(-1), numbers[2].reshape(-1)
    axes = numbers[3].reshape(-1) if len(numbers) > 3 else np.arange(len(starts))
    steps = numbers[4].reshape(-1) if len(numbers) > 4 else np.ones(len(starts), np.int64)
    cut = [slice(None)] * numbers[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        first, last = int(start), int(end)
        if step < 0:
            raise ValueError
        cut[axis_of(int(axis), numbers[0].ndim)] = slice(first, last, int(step))
    return numbers[0][tuple(cut)]


FOLDED: dict[str, Callable[[Call, list[Numbers]], Numbers]] = {
    "Add": lambda call, n: n[0] + n[1],
    "Cast": lambda call, n: n[0],
    "Concat": lambda call, n: np.concatenate(n, axis=axis_of(call.integer("axis"), n[0].ndim)),
    "Div": lambda call, n: _divide(n[0], n[1]),
    "Gather": _gathered,
    "Identity": lambda call, n: n[0],
    "Max": lambda call, n: np.maximum.reduce(np.broadcast_arrays(*n)),
    "Min": lambda call, n: np.minimum.reduce(np.broadcast_arrays(*n)),
    "Mul": lambda call, n: n[0] * n[1],
    "Neg": lambda call, n: -n[0],
    "Reshape": lambda call, n: n[0],
    "Slice": _sliced,
    "Squeeze": lambda call, n: n[0],
    "Sub": lambda call, n: n[0] - n[1],
    "Unsqueeze": lambda call, n: n[0],
}


def folded(call: Call, output: Value) -> Value:
    """The only output of a node with its numbers, where they follow from the file and may be a shape."""
    if call.node.op_type not in FOLDED or output.size > MOST_KEPT or output.dtype not in NUMPY:
        return output
    given = [value.known for value in call.inputs if value is not None]
    numbers = [known for known in given if known is not None]
    if len(numbers) != len(call.inputs):
        return output
    try:
        with np.errstate(all="ignore"):
            found: Numbers = np.asarray(FOLDED[call.node.op_type](call, numbers)).astype(NUMPY[output.dtype])
        return output._replace(known=found.reshape(output.shape))
    except (ValueError, IndexError):
        return output
