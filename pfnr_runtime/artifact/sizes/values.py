"""A value of a graph while its sizes are inferred: element type, shape, and numbers that may be a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.onnx.attribute import Attribute
from pfnr_runtime.artifact.onnx.file import NodeInfo
from pfnr_runtime.artifact.onnx.tensor import DTYPES, MAX_RANK, MOST_KEPT, TensorInfo

Shape = tuple[int, ...]
MOST_ELEMENTS = 1 << 48  # of one value; far over every limit, so that products stay small numbers


class SizeError(ValueError):
    """A graph whose sizes do not follow from its shapes, or contradict one another; says where."""


class Value(NamedTuple):
    """One value of a graph.

    - dtype: ONNX's name of the element type, as in `pfnr_runtime.artifact.onnx.tensor.DTYPES`.
    - shape: sizes, all known.
    - known: the numbers themselves, where there are at most `MOST_KEPT` and they follow from the file.
    - fixed: whether it is the same for every frame, so that an engine may compute and keep it when it loads.
    """

    dtype: str
    shape: Shape
    known: NDArray[Any] | None = None
    fixed: bool = False

    @property
    def size(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in an engine's memory. Float16 counts as float32, which CPUs compute it in."""
        bits = _BITS[self.dtype]
        return self.size * (max(bits, 32) if self.dtype in ("float16", "bfloat16") else bits + 7 & ~7) // 8


_BITS = dict(DTYPES.values())
NUMPY: dict[str, Any] = {"int64": np.int64, "int32": np.int32, "float32": np.float32, "bool": np.bool_}


def value_of(tensor: TensorInfo) -> Value:
    """A stored tensor."""
    known: NDArray[Any] | None = None
    if tensor.values is not None:
        known = np.array(tensor.values, NUMPY[tensor.dtype]).reshape(tensor.dims)
    return Value(tensor.dtype, tensor.dims, known, True)


def known_value(dtype: str, numbers: NDArray[Any]) -> Value:
    """A value that is known. dtype: of int64, int32, float32 and bool; the numbers are cast to it."""
    numbers = numbers.astype(NUMPY[dtype])
    return Value(dtype, numbers.shape, numbers if numbers.size <= MOST_KEPT else None, True)


class Call(NamedTuple):
    """A node with the values that enter it; None for an input that is left out."""

    node: NodeInfo
    inputs: tuple[Value | None, ...]
    opset: int

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        """An input that the operator needs."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise SizeError(f"input {index} is missing")
        return found

    def numbers(self, index: int) -> tuple[int, ...]:
        """An input's whole numbers, such as a shape; a SizeError where they are not known beforehand."""
        value = self.value(index)
        if value.known is None or value.dtype not in ("int64", "int32"):
            raise SizeError(f"its size depends on what is computed (input {index})")
        return tuple(int(n) for n in value.known.reshape(-1))

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole-number attribute."""
        found = self.node.attributes.get(name, default)
        if not isinstance(found, int):
            raise SizeError(f"attribute {name} is missing or no whole number")
        return found

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """An attribute that lists whole numbers."""
        found: Attribute | Sequence[int] = self.node.attributes.get(name)
        if found is None and default is not None:
            return tuple(default)
        if not isinstance(found, tuple) or not all(isinstance(n, int) for n in found):
            raise SizeError(f"attribute {name} is missing or no list of whole numbers")
        return tuple(int(n) for n in found if isinstance(n, int))

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self.node.attributes.get(name, default.encode())
        return found.decode("ascii", "replace") if isinstance(found, bytes) else ""


def checked(value: Value) -> Value:
    """The value, if such a one can exist."""
    if len(value.shape) > MAX_RANK or any(side < 0 for side in value.shape):
        raise SizeError(f"a value of impossible shape {list(value.shape)[:MAX_RANK]}")
    if value.size > MOST_ELEMENTS or max(value.shape, default=0) > MOST_ELEMENTS:
        raise SizeError(f"a value of {_few(value.size)} elements")
    return value


def _few(number: int) -> str:
    return str(number) if number < 1 << 63 else f"more than 2^{number.bit_length() - 1}"


def axis_of(axis: int, rank: int) -> int:
    """An axis from 0, where a negative one counts from the end."""
    if not -rank <= axis < rank:
        raise SizeError(f"axis {axis} of {rank}")
    return axis % rank if rank else 0


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes from 0, ascending; a SizeError for one given twice."""
    found = sorted({axis_of(axis, rank) for axis in axes})
    if len(found) != len(axes):
        raise SizeError(f"axes {list(axes)[:MAX_RANK]} of {rank}")
    return tuple(found)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that these have together by NumPy's rule."""
    rank = max(map(len, shapes))
    sides = []
    for column in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wanted = {side for side in column if side != 1}
        if len(wanted) > 1:
            raise SizeError(f"shapes {', '.join(str(list(shape)) for shape in shapes)} do not go together")
        sides.append(wanted.pop() if wanted else 1)
    return tuple(sides)
