"""Evaluating an artifact's graph for one frame, node by node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pfnr_runtime.artifact.onnx.file import NodeInfo, OnnxSummary
from pfnr_runtime.artifact.onnx.tensor import read_tensor
from pfnr_runtime.artifact.onnx.wire import Reader
from pfnr_runtime.proof.reference.operators import OPERATORS, Array

GRAPH, INITIALIZER, RAW = 7, 5, 9  # numbers of fields in ModelProto, GraphProto and TensorProto


class NotComputable(Exception):  # noqa: N818
    """A graph that is not evaluated here; says what it has."""


def evaluate(model: bytes, summary: OnnxSummary, frame: int) -> Iterator[tuple[NodeInfo, Array]]:
    """Every node in the file's order with its output, for a batch of this frame alone.

    model, summary: an .onnx that passed its checks. Floats are float64. NotComputable where a node is not one of
    an exact graph. A value is dropped after its last use, so memory holds few of them.
    """
    values = stored_tensors(model)
    if len(summary.inputs) != 1 or summary.inputs[0].dtype != "int64":
        raise NotComputable("inputs other than a frame number")
    values[summary.inputs[0].name] = np.array([frame])
    last_use = {name: i for i, node in enumerate(summary.nodes) for name in node.inputs}
    for i, node in enumerate(summary.nodes):
        if node.op_type not in OPERATORS:
            raise NotComputable(f"the operator {node.op_type}")
        try:
            output = OPERATORS[node.op_type](node, *(values[name] for name in node.inputs))
        except (NotImplementedError, TypeError, KeyError, ValueError):
            raise NotComputable(f"a form of {node.op_type} that is not evaluated here") from None
        values[node.outputs[0]] = output
        yield node, output
        for name in {*node.inputs}:
            if last_use[name] == i:
                del values[name]


def stored_tensors(model: bytes) -> dict[str, Array]:
    """By name, the tensors stored in a file: float64, or int64 for whole numbers."""
    found: dict[str, Array] = {}
    for part in Reader(model).whole().fields():
        if part.number != GRAPH:
            continue
        for item in part.message().fields():
            if item.number != INITIALIZER:
                continue
            tensor = read_tensor(item.message())
            raw = [field.span for field in item.message().fields() if field.number == RAW]
            if len(raw) != 1 or tensor.dtype not in ("float32", "int64", "int8"):
                raise NotComputable(f"a tensor stored as {tensor.dtype} or in another form")
            values = np.frombuffer(model[raw[0].start : raw[0].end], np.dtype(tensor.dtype).newbyteorder("<"))
            wide = np.float64 if tensor.dtype == "float32" else np.int64
            found[tensor.name] = values.reshape(tensor.dims).astype(wide)
    return found
