"""A walk through a graph that finds the size of every value, without computing any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pfnr_runtime.artifact.onnx.file import NodeInfo, OnnxSummary, ValueInfo
from pfnr_runtime.artifact.sizes import arithmetic, movement
from pfnr_runtime.artifact.sizes.costs import operations, workspace
from pfnr_runtime.artifact.sizes.values import Call, Shape, SizeError, Value, checked, value_of
from pfnr_runtime.artifact.sizes.whole_numbers import folded

RULES = {**movement.RULES, **arithmetic.RULES}


class Needs(NamedTuple):
    """What one run of a graph needs.

    - memory: the most bytes of computed values that exist at a time, with what an engine may keep from loading.
    - written: bytes of all computed values together.
    - operations: as `pfnr_runtime.artifact.sizes.costs` counts them.
    - largest: name and bytes of the largest computed value.
    - outputs: shapes of the graph's outputs.
    """

    memory: int
    written: int
    operations: int
    largest: tuple[str, int]
    outputs: tuple[Shape, ...]


def measure(summary: OnnxSummary, sizes: Mapping[str, Shape]) -> Needs:
    """What a graph needs for inputs of these sizes, by name; a SizeError names the node that has no size.

    Nodes are taken in the file's order, in which a valid file has each after those that it needs.
    """
    values = _stored(summary)
    given = {info.name for info in summary.inputs}
    for info in summary.inputs:
        values[info.name] = checked(Value(info.dtype, _given_shape(info, sizes)))
    last_use = {name: i for i, node in enumerate(summary.nodes) for name in node.inputs}
    ends = {info.name for info in summary.outputs}
    live = kept = peak = written = done = 0
    largest = ("", 0)
    for i, node in enumerate(summary.nodes):
        call, outputs = _run(node, values, summary.opsets.get("", 0))
        own = sum(value.nbytes for value in outputs)
        done += operations(call, outputs)
        written += own
        if outputs[0].fixed:
            kept += own
        else:
            live += own
        peak = max(peak, live + workspace(call, outputs))
        largest = max(largest, *((node.outputs[j], v.nbytes) for j, v in enumerate(outputs)), key=lambda n: n[1])
        for name in {*node.inputs, *node.outputs} - ends - given:
            if name and last_use.get(name, i) == i:
                live -= 0 if values[name].fixed else values[name].nbytes
    return Needs(peak + kept, written, done, largest, tuple(_found(info, values) for info in summary.outputs))


def _stored(summary: OnnxSummary) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for tensor in summary.initializers:
        if tensor.name in values:
            raise SizeError(f"two stored tensors are called {tensor.name!r}")
        values[tensor.name] = value_of(tensor)
    return values


def _given_shape(given: ValueInfo, sizes: Mapping[str, Shape]) -> Shape:
    if given.name in sizes:
        return sizes[given.name]
    if not all(isinstance(side, int) for side in given.shape):
        raise SizeError(f"input {given.name!r} has no size")
    return tuple(side for side in given.shape if isinstance(side, int))


def _run(node: NodeInfo, values: dict[str, Value], opset: int) -> tuple[Call, list[Value]]:
    """The node with its inputs, and its outputs, which join `values`."""
    try:
        if missing := [name for name in node.inputs if name and name not in values]:
            raise SizeError(f"its input {missing[0]!r} is not there")
        call = Call(node, tuple(values[name] if name else None for name in node.inputs), opset)
        if node.op_type not in RULES:
            raise SizeError("an operator of unknown size")
        outputs = [checked(value) for value in RULES[node.op_type](call)[: len(node.outputs)]]
        if len(outputs) < len(node.outputs) or not outputs:
            raise SizeError(f"{len(node.outputs)} outputs")
        fixed = all(value is None or value.fixed for value in call.inputs)
        outputs = [value._replace(fixed=fixed) for value in outputs]
        if len(outputs) == 1:
            outputs[0] = folded(call, outputs[0])
        if any(value.size == 0 and value.known is None for value in outputs):
            raise SizeError("a value without elements, behind which nothing would have a cost")
        for name, value in zip(node.outputs, outputs, strict=True):
            if name in values:
                raise SizeError(f"its output {name!r} is there already")
            if name:
                values[name] = value
    except SizeError as error:
        raise SizeError(f"node {node.name or node.outputs[:1]!r} ({node.op_type}): {error}") from None
    return call, outputs


def _found(info: ValueInfo, values: dict[str, Value]) -> Shape:
    if info.name not in values:
        raise SizeError(f"nothing computes the output {info.name!r}")
    return values[info.name].shape
