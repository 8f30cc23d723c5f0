"""One attribute of a node: a number, text, a list of numbers, or a stored tensor."""

from __future__ import annotations

import struct
from typing import Union

from pfnr_runtime.artifact.onnx.tensor import TensorInfo, read_tensor
from pfnr_runtime.artifact.onnx.wire import BYTES, FIXED32, Field, Span, WireError

Attribute = Union[int, float, bytes, tuple[float, ...], TensorInfo, None]  # noqa: UP007 (Python 3.10)
MOST_TEXT = 1 << 16
LISTS = (6, 7)  # ONNX's numbers for lists of floats and of integers, either of which may be empty


def read_attribute(span: Span) -> tuple[str, Attribute, list[TensorInfo]]:
    """Name, value and stored tensors of the attribute at `span`; the value is None where it is of another kind.

    A WireError for a subgraph, a sparse tensor or two values.
    """
    name = ""
    value: Attribute = None
    numbers: list[float] = []
    tensors: list[TensorInfo] = []
    kinds: set[int] = set()
    listed = False
    for item in span.fields():
        match item.number:
            case 1:
                name = item.text()
                continue
            case 2:
                value = _floats(item, 4)[0]
            case 3:
                value = item.integer()
            case 4:
                value = _text(item)
            case 5 | 10:
                tensors.append(read_tensor(item.message()))
                value = tensors[0]
            case 6 | 11:
                raise WireError("a subgraph (If, Loop or Scan), which a decoder does not have,", span.start)
            case 7:
                numbers += _floats(item)
            case 8:
                numbers += item.span.packed_integers() if item.wire == BYTES else [item.integer()]
            case 20:
                listed = item.integer() in LISTS
                continue
            case 22 | 23:
                raise WireError("a sparse tensor, which a decoder does not have,", span.start)
            case _:
                continue
        kinds.add(item.number)
    if len(kinds) > 1:
        raise WireError(f"attribute {name!r} with values of several kinds", span.start)
    return name, tuple(numbers) if listed or kinds & {7, 8} else value, tensors


def _floats(item: Field, size: int | None = None) -> tuple[float, ...]:
    """The numbers of a field; size: in bytes, if only one number is allowed."""
    data = bytes(item.span.reader.data[item.span.start : item.span.end])
    if item.wire not in (BYTES, FIXED32) or len(data) % 4 or size not in (None, len(data)):
        raise WireError(f"field {item.number} should hold float32 numbers", item.span.start)
    return struct.unpack(f"<{len(data) // 4}f", data)


def _text(item: Field) -> bytes:
    span = item.message()
    if len(span) > MOST_TEXT:
        raise WireError(f"an attribute of {len(span)} bytes (at most {MOST_TEXT} are allowed)", span.start)
    return bytes(span.reader.data[span.start : span.end])
