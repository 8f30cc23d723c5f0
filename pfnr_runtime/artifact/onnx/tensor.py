"""One stored tensor of an ONNX file: name, type, shape and size in bytes, checked against the file.

Only the values of small tensors are read, for they may be a shape; weights never are. Written by hand for the same
reasons as `pfnr_runtime.artifact.onnx.file`.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from pfnr_runtime.artifact.onnx.wire import BYTES, FIXED32, FIXED64, VARINT, Field, Span, WireError

# ONNX's element type numbers: our name and the bits per element.
DTYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    16: ("bfloat16", 16),
    17: ("float8e4m3fn", 8),
    18: ("float8e4m3fnuz", 8),
    19: ("float8e5m2", 8),
    20: ("float8e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
}
MAX_RANK = 16

# Fields that hold values one by one instead of as raw bytes: wire type and bytes of a fixed-size value.
TYPED_DATA = {4: (FIXED32, 4), 5: (VARINT, 0), 7: (VARINT, 0), 10: (FIXED64, 8), 11: (VARINT, 0)}


# Element types of small tensors whose values are kept, as struct calls them, and the field of their typed data.
_KEPT = {"int64": ("q", 7), "int32": ("i", 5), "float32": ("f", 4)}
MOST_KEPT = 64


class TensorInfo(NamedTuple):
    """A stored tensor.

    - nbytes: its size in memory.
    - values: of an int32, int64 or float32 tensor of at most `MOST_KEPT` values, which may be the shape or the
      axes of another; None of any other.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    nbytes: int
    values: tuple[float, ...] | None = None


def dtype_name(number: int, position: int) -> str:
    """The name of an ONNX element type; a WireError for one that no decoder uses."""
    if number not in DTYPES:
        raise WireError(f"element type {number}, which a decoder does not use,", position)
    return DTYPES[number][0]


def read_tensor(span: Span) -> TensorInfo:
    """The tensor at `span`; a WireError if its shape, type and stored bytes contradict one another."""
    name, number = "", 0
    dims: list[int] = []
    raw: int | None = None
    typed = 0
    for item in span.fields():
        match item.number:
            case 1:
                dims.extend(item.span.packed_integers() if item.wire == BYTES else [item.integer()])
            case 2:
                number = item.integer()
            case 8:
                name = item.text()
            case 9:
                if raw is not None:
                    raise WireError(f"tensor {name!r} with its data twice", item.span.start)
                raw = len(item.message())
            case 13:
                raise _external(name, item)
            case 14:
                if item.integer() != 0:
                    raise _external(name, item)
            case 3 | 6:
                raise WireError(f"tensor {name!r} in segments or of text", item.span.start)
            case 4 | 5 | 7 | 10 | 11:
                typed += _typed_count(item)
    return _with_values(_checked(name, number, tuple(dims), raw, typed, span), span)


def _checked(name: str, number: int, dims: tuple[int, ...], raw: int | None, typed: int, span: Span) -> TensorInfo:
    dtype = dtype_name(number, span.start)
    if len(dims) > MAX_RANK or any(not 0 <= d < 1 << 40 for d in dims):
        raise WireError(f"tensor {name!r} of impossible shape {list(dims)[:MAX_RANK]}", span.start)
    elements = math.prod(dims)
    nbytes = (elements * DTYPES[number][1] + 7) // 8
    if raw is not None and (raw != nbytes or typed):
        raise WireError(
            f"tensor {name!r}: {dtype} {list(dims)} needs {nbytes} bytes, and {raw} are stored", span.start
        )
    # Types below 32 bits may share one stored number, so the exact count holds for the wide ones only.
    if raw is None and (typed > elements or (typed < elements and DTYPES[number][1] >= 8)):
        raise WireError(
            f"tensor {name!r}: {dtype} {list(dims)} needs {elements} values, and {typed} are stored",
            span.start,
        )
    return TensorInfo(name, dtype, dims, nbytes)


def _with_values(tensor: TensorInfo, span: Span) -> TensorInfo:
    if tensor.dtype not in _KEPT or math.prod(tensor.dims) > MOST_KEPT:
        return tensor
    letter, field = _KEPT[tensor.dtype]
    values: list[float] = []
    for item in span.fields():
        if item.number == 9 or (item.number == field and item.wire in (BYTES, FIXED32) and letter == "f"):
            data = bytes(span.reader.data[item.span.start : item.span.end])
            values += struct.unpack(f"<{len(data) // struct.calcsize(letter)}{letter}", data)
        elif item.number == field:
            values += item.span.packed_integers() if item.wire == BYTES else [item.integer()]
    narrow = tensor.dtype == "int32"
    if len(values) != math.prod(tensor.dims) or (narrow and not all(-(1 << 31) <= n < 1 << 31 for n in values)):
        raise WireError(f"tensor {tensor.name!r} with data of another type than {tensor.dtype}", span.start)
    return tensor._replace(values=tuple(values))


def _typed_count(item: Field) -> int:
    """How many values one field of typed data holds: one, or a packed run of them."""
    wire, width = TYPED_DATA[item.number]
    if item.wire == wire:
        return 1
    span = item.message()
    if width:
        if len(span) % width:
            raise WireError(f"{len(span)} bytes of {width}-byte values", span.start)
        return len(span) // width
    return sum(1 for _ in span.packed_integers())


def _external(name: str, item: Field) -> WireError:
    return WireError(
        f"tensor {name!r} keeps its data in another file (external data), which is refused,", item.span.start
    )
