"""A model without the values of its large float32 tensors, and the model put together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.onnx.wire import BYTES, Reader, Span, WireError, write_head

GRAPH, INITIALISER = 7, 5  # field numbers, in a model and in a graph
DIMS, DATA_TYPE, NAME, RAW = 1, 2, 8, 9  # in a tensor
FLOAT = 1  # ONNX's number for float32
Part = Union[bytes, memoryview]  # noqa: UP007 (Python 3.10)
LEAST_VALUES = 16  # smaller tensors stay in the skeleton


@dataclass(frozen=True)
class Hole:
    """A tensor whose values a skeleton lacks."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


def take_apart(model: bytes) -> tuple[bytes, list[Hole], list[NDArray[np.float32]]]:
    """The skeleton of a model, its holes, and the tensors that fill them, all in file order."""
    holes: list[Hole] = []
    tensors: list[NDArray[np.float32]] = []

    def without_values(tensor: Span) -> list[Part]:
        hole, raw = _hole(tensor)
        if hole is None or raw is None:
            return [model[tensor.start : tensor.end]]
        holes.append(hole)
        tensors.append(np.frombuffer(model[raw.start : raw.end], "<f4").astype(np.float32).reshape(hole.shape))
        kept, start = bytearray(), tensor.start
        for item in tensor.fields():
            if item.number != RAW:
                kept += model[start : item.span.end]
            start = item.span.end
        return [bytes(kept)]

    return _rewritten(model, without_values), holes, tensors


def find_holes(skeleton: bytes) -> list[Hole]:
    """What a skeleton lacks, in file order; a WireError where it is malformed."""
    holes: list[Hole] = []
    for graph in _messages(Reader(skeleton).whole(), GRAPH):
        for tensor in _messages(graph, INITIALISER):
            hole, raw = _hole(tensor)
            if hole is not None and raw is None:
                holes.append(hole)
    return holes


def put_together(skeleton: bytes, tensors: Sequence[NDArray[np.float32]]) -> bytes:
    """The model whose holes these tensors fill, in the order of `find_holes`."""
    left = iter(tensors)

    def with_values(tensor: Span) -> list[Part]:
        hole, raw = _hole(tensor)
        whole = skeleton[tensor.start : tensor.end]
        if hole is None or raw is not None:
            return [whole]
        values = np.ascontiguousarray(next(left), "<f4").reshape(-1).view(np.uint8).data
        return [whole, write_head(RAW, len(values)), values]

    return _rewritten(skeleton, with_values)


def _rewritten(model: bytes, tensor_parts: Callable[[Span], list[Part]]) -> bytes:
    """The model with every initialiser's message replaced. Parts are joined once, for they may be large."""
    parts: list[Part] = []
    start = 0
    for item in Reader(model).whole().fields():
        if item.number == GRAPH and item.wire == BYTES:
            parts += _message(GRAPH, _rewritten_graph(model, item.span, tensor_parts))
        else:
            parts.append(model[start : item.span.end])
        start = item.span.end
    return b"".join(parts)


def _rewritten_graph(model: bytes, graph: Span, tensor_parts: Callable[[Span], list[Part]]) -> list[Part]:
    parts: list[Part] = []
    start = graph.start
    for item in graph.fields():
        if item.number == INITIALISER and item.wire == BYTES:
            parts += _message(INITIALISER, tensor_parts(item.span))
        else:
            parts.append(model[start : item.span.end])
        start = item.span.end
    return parts


def _message(number: int, parts: list[Part]) -> list[Part]:
    return [write_head(number, sum(map(len, parts))), *parts]


def _messages(span: Span, number: int) -> list[Span]:
    return [item.message() for item in span.fields() if item.number == number]


def _hole(tensor: Span) -> tuple[Hole | None, Span | None]:
    """What would be missing of a tensor without its values, or None where it keeps them; and where they lie."""
    name, kind, raw = "", 0, None
    shape: list[int] = []
    for item in tensor.fields():
        if item.number == DIMS:
            shape.extend(item.span.packed_integers() if item.wire == BYTES else [item.integer()])
        elif item.number == DATA_TYPE:
            kind = item.integer()
        elif item.number == NAME:
            name = item.text()
        elif item.number == RAW:
            raw = item.message()
        else:
            return None, None
    if any(not 0 <= side < 1 << 31 for side in shape):
        raise WireError(f"tensor {name!r} of an impossible shape", tensor.start)
    if kind != FLOAT or math.prod(shape) < LEAST_VALUES:
        return None, None
    return Hole(name, tuple(shape)), raw
