"""The operators of exact graphs, in float64, which holds all that they compute exactly.

Whole numbers that choose or shape something stay int64. Each operator takes its inputs and its node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.onnx.file import NodeInfo
from pfnr_runtime.artifact.onnx.tensor import TensorInfo

Array = NDArray[Any]
Operator = Callable[..., Array]
LEAST, MOST = -128, 127


def _number(node: NodeInfo, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    if not isinstance(value, (int, float)):
        raise NotImplementedError
    return value


def _numbers(node: NodeInfo, name: str) -> tuple[int, ...]:
    value = node.attributes[name]
    if not isinstance(value, tuple) or isinstance(value, TensorInfo):
        raise NotImplementedError
    return tuple(map(int, value))


def _gather(node: NodeInfo, x: Array, indices: Array) -> Array:
    return np.take(x, indices, int(_number(node, "axis", 0)))


def _gemm(node: NodeInfo, x: Array, weight: Array, bias: Array | None = None) -> Array:
    product = x @ (weight.T if _number(node, "transB", 0) else weight)
    return product if bias is None else product + bias


def _conv(node: NodeInfo, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Of stride 1, one group, and as much padding before as behind."""
    top, left, bottom, right = _numbers(node, "pads") if "pads" in node.attributes else (0, 0, 0, 0)
    if (top, left) != (bottom, right) or any(n in node.attributes for n in ("strides", "group", "dilations")):
        raise NotImplementedError
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows, columns = (padded.shape[2 + i] - weight.shape[2 + i] + 1 for i in (0, 1))
    y = np.zeros((len(x), len(weight), rows * columns))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = padded[:, :, i : i + rows, j : j + columns].reshape(*x.shape[:2], -1)
            y += weight[:, :, i, j] @ seen
    y = y.reshape(len(x), len(weight), rows, columns)
    return y if bias is None else y + bias[:, None, None]


def _depth_to_space(node: NodeInfo, x: Array) -> Array:
    if node.attributes.get("mode") != b"CRD":
        raise NotImplementedError
    r = int(_number(node, "blocksize", 1))
    n, c, h, w = x.shape
    split = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(n, c // r**2, h * r, w * r)


def _slice(node: NodeInfo, x: Array, starts: Array, ends: Array, axes: Array, steps: Array | None = None) -> Array:
    chosen = [slice(None)] * x.ndim
    for start, end, axis in zip(starts, ends, axes, strict=True):
        chosen[int(axis)] = slice(int(start), int(end))
    if steps is not None and (steps != 1).any():
        raise NotImplementedError
    return x[tuple(chosen)]


def _reshape(node: NodeInfo, x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)])


def _hard_sigmoid(node: NodeInfo, x: Array) -> Array:
    return np.clip(_number(node, "alpha", 0.2) * x + _number(node, "beta", 0.5), 0, 1)


def _along(node: NodeInfo, x: Array, scale: Array) -> Array:
    """A scale for the whole, or for each place of an axis, in x's rank."""
    axis = int(_number(node, "axis", 1))
    return scale if scale.ndim == 0 else scale.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def _quantise(node: NodeInfo, x: Array, scale: Array, zero: Array) -> Array:
    _need_zero(zero)
    return np.clip(np.rint(x / _along(node, x, scale)), LEAST, MOST)


def _dequantise(node: NodeInfo, x: Array, scale: Array, zero: Array) -> Array:
    _need_zero(zero)
    return x * _along(node, x, scale)


def _need_zero(zero: Array) -> None:
    if zero.any():
        raise NotImplementedError


OPERATORS: dict[str, Operator] = {
    "Abs": lambda node, x: np.abs(x),
    "Add": lambda node, a, b: a + b,
    "Cast": lambda node, x: x,
    "Clip": lambda node, x, low, high: np.clip(x, low, high),
    "Concat": lambda node, *parts: np.concatenate(parts, int(_number(node, "axis", 0))),
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantise,
    "Gather": _gather,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "MatMul": lambda node, a, b: a @ b,
    "Max": lambda node, a, b: np.maximum(a, b),
    "Mul": lambda node, a, b: a * b,
    "QuantizeLinear": _quantise,
    "Reshape": _reshape,
    "Round": lambda node, x: np.rint(x),
    "Slice": _slice,
    "Sub": lambda node, a, b: a - b,
    "Transpose": lambda node, x: x.transpose(_numbers(node, "perm")),
}
