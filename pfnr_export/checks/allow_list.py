"""The static check: only operators, types and attributes that TensorRT 10.3 to 11.4 all run.

An allow-list, so that the unforeseen is refused. It is narrower than some of these versions, since it must hold
for all: no custom domains, functions or subgraphs, opset 13 to 20, single- and half-precision floats, two sizes of
integer, booleans, 8-bit integers only between QuantizeLinear and DequantizeLinear with zero points of 0, and
unsigned bytes only as the result of a final Cast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import TensorProto, helper

from pfnr_export.checks.skeleton import stored_zero, type_name, value_types
from pfnr_runtime.artifact.operators import PORTABLE_OPERATORS
from pfnr_runtime.errors import PfnrError

OLDEST_OPSET, NEWEST_OPSET = 13, 20
NEWEST_IR = 10  # what the oldest of these parsers was built with
ENGINES = "TensorRT 10.3 to 11.4"

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64})
BOOL = frozenset({TensorProto.BOOL})
INT8 = frozenset({TensorProto.INT8})
UINT8 = frozenset({TensorProto.UINT8})
NUMBERS = FLOATS | INTEGERS
MOVED = NUMBERS | BOOL


class PortabilityError(PfnrError):
    """A model that not every engine runs."""


Allowed = Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """Limits of one operator.

    - inputs, outputs: element types.
    - attributes: allowed values by name.
    - required: attributes that must be written out.
    - weight_rank: rank of the second input (a weight), None for any.
    """

    inputs: frozenset[int] = FLOATS
    outputs: frozenset[int] = FLOATS
    attributes: Mapping[str, Allowed] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    weight_rank: int | None = None


def _any(value: Any) -> bool:
    return True


def _is(*allowed: Any) -> Allowed:
    return lambda value: value in allowed


_MOVE = Rule(MOVED, MOVED)
_LOGIC = Rule(BOOL, BOOL)
_COMPARE = Rule(NUMBERS, BOOL)
_ARITHMETIC = Rule(NUMBERS, NUMBERS)
_AXIS = {"axis": _any}
_CONVOLUTION: dict[str, Allowed] = {
    "kernel_shape": lambda value: len(value) == 2,
    "pads": lambda value: len(value) == 4,
    "strides": lambda value: len(value) == 2,
    "dilations": lambda value: len(value) == 2,
    "group": _any,
    "auto_pad": _is(b"NOTSET"),
}
_REDUCE = Rule(NUMBERS, NUMBERS, {"axes": _any, "keepdims": _any, "noop_with_empty_axes": _is(0)})

RULES: dict[str, Rule] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Neg", "Abs", "Sign", "Sum"), _ARITHMETIC),
    **dict.fromkeys(("And", "Or", "Xor", "Not"), _LOGIC),
    **dict.fromkeys(("Equal", "Greater", "Less"), _COMPARE),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _REDUCE),
    **dict.fromkeys(("Expand", "Identity", "Tile", "Where", "Slice"), _MOVE),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), Rule(MOVED, MOVED, {"axes": _any})),
    "Reshape": Rule(MOVED, MOVED, {"allowzero": _is(0)}),
    "Transpose": Rule(MOVED, MOVED, {"perm": _any}),
    "Concat": Rule(MOVED, MOVED, _AXIS),
    "Flatten": Rule(MOVED, MOVED, _AXIS),
    "Gather": Rule(MOVED, MOVED, _AXIS),
    "GatherElements": Rule(MOVED, MOVED, _AXIS),
    "Split": Rule(MOVED, MOVED, {"axis": _any, "num_outputs": _any}),
    "Pad": Rule(NUMBERS, NUMBERS, {"mode": _is(b"constant", b"reflect", b"edge")}),
    "Shape": Rule(MOVED, INTEGERS, {"start": _any, "end": _any}),
    "Constant": Rule(frozenset(), MOVED | INT8, {"value": _any}),
    "Cast": Rule(MOVED, MOVED | UINT8, {"to": lambda value: value in MOVED | UINT8}, ("to",)),
    "Conv": Rule(FLOATS, FLOATS, _CONVOLUTION, ("kernel_shape",), 4),
    "ConvTranspose": Rule(FLOATS, FLOATS, {**_CONVOLUTION, "output_padding": _is([0, 0])}, ("kernel_shape",), 4),
    "AveragePool": Rule(FLOATS, FLOATS, {**_CONVOLUTION, "ceil_mode": _is(0), "count_include_pad": _any}),
    "Gemm": Rule(
        FLOATS, FLOATS, {"transA": _is(0, 1), "transB": _is(0, 1), "alpha": _is(1.0), "beta": _is(1.0)}, (), 2
    ),
    "DepthToSpace": Rule(
        FLOATS, FLOATS, {"blocksize": lambda value: value > 0, "mode": _is(b"DCR", b"CRD")}, ("blocksize", "mode")
    ),
    "SpaceToDepth": Rule(FLOATS, FLOATS, {"blocksize": lambda value: value > 0}, ("blocksize",)),
    "LeakyRelu": Rule(FLOATS, FLOATS, {"alpha": _any}),
    "HardSigmoid": Rule(FLOATS, FLOATS, {"alpha": _any, "beta": _any}),
    "QuantizeLinear": Rule(FLOATS | INT8, INT8, {"axis": _any, "saturate": _is(1)}),
    "DequantizeLinear": Rule(INT8 | FLOATS, FLOATS, _AXIS),
}
# Operators whose further inputs are shapes, axes, bounds or indices.
_INDEXED = frozenset(
    {"Expand", "Gather", "GatherElements", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Unsqueeze"}
    | {name for name in RULES if name.startswith("Reduce")}
)
# The rest: unary float functions without attributes, and the matrix product.
_PLAIN = Rule()


def check_allow_list(model: onnx.ModelProto) -> None:
    """A PortabilityError names the first node, type or attribute of a model outside the allow-list."""
    for problem in problems(model):
        raise PortabilityError(f"{problem}; {ENGINES} do not all run that")


def problems(model: onnx.ModelProto) -> Iterator[str]:
    """Everything outside the allow-list, in words, from the file's header to its outputs."""
    yield from _model_problems(model)
    for node in model.graph.node:
        yield from _structure_problems(node)
    types = value_types(model)
    consumers: dict[str, str] = {}
    for node in model.graph.node:
        consumers |= dict.fromkeys(node.input, _label(node))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        yield from _type_problems(node, types)
        yield from _quantisation_problems(node, stored)
    yield from _byte_problems(model, consumers)


def _model_problems(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield f"the model needs operators of the domain {opset.domain!r}"
        elif not OLDEST_OPSET <= opset.version <= NEWEST_OPSET:
            yield f"the model's opset {opset.version} is outside {OLDEST_OPSET} to {NEWEST_OPSET}"
    if model.ir_version > NEWEST_IR:
        yield f"the model's IR version {model.ir_version} is over {NEWEST_IR}"
    if model.functions:
        yield f"the model has local functions ({model.functions[0].name})"
    if graph.sparse_initializer:
        yield "the model has sparse tensors"
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield f"tensor {tensor.name!r} is stored outside the file"
        if tensor.data_type not in MOVED | INT8:
            yield f"tensor {tensor.name!r} is {type_name(tensor.data_type)}"
    for value in graph.input:
        kind = value.type.tensor_type.elem_type
        if kind not in MOVED:
            yield f"input {value.name!r} is {type_name(kind)}"
    for value in graph.output:
        kind = value.type.tensor_type.elem_type
        if kind not in MOVED | UINT8:
            yield f"output {value.name!r} is {type_name(kind)}"


def _label(node: onnx.NodeProto) -> str:
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def _structure_problems(node: onnx.NodeProto) -> Iterator[str]:
    label = _label(node)
    if node.domain not in ("", "ai.onnx"):
        yield f"{label} is of the domain {node.domain!r}"
    if node.op_type not in PORTABLE_OPERATORS:
        yield f"{label} is an operator outside the allow-list"
        return
    rule = RULES.get(node.op_type, _PLAIN)
    given = {}
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            yield f"{label} holds a subgraph"
            continue
        value = helper.get_attribute_value(attribute)
        given[attribute.name] = value
        if attribute.name not in rule.attributes:
            yield f"{label} has the attribute {attribute.name!r}"
        elif not rule.attributes[attribute.name](value):
            shown = value.decode(errors="replace") if isinstance(value, bytes) else value
            yield f"{label} has {attribute.name} {shown!r}"
    for name in rule.required:
        if name not in given:
            yield f"{label} does not write out its {name}"


def _type_problems(
    node: onnx.NodeProto, types: dict[str, tuple[int, tuple[int | str | None, ...] | None]]
) -> Iterator[str]:
    label, rule = _label(node), RULES.get(node.op_type, _PLAIN)
    for position, name in enumerate(node.input):
        if not name:
            continue
        kind, shape = types.get(name, (0, None))
        allowed = rule.inputs
        if position and node.op_type in _INDEXED:
            allowed = INTEGERS
        elif position and node.op_type == "Pad":
            allowed = NUMBERS
        elif node.op_type == "Where" and position == 0:
            allowed = BOOL
        if kind not in allowed:
            yield f"{label} takes {type_name(kind)} {name!r}"
        if position == 1 and rule.weight_rank not in (None, len(shape or ())):
            yield f"{label} has a weight of {len(shape or ())} axes, not {rule.weight_rank}"
    for name in node.output:
        if name and types.get(name, (0, None))[0] not in rule.outputs:
            yield f"{label} gives {type_name(types.get(name, (0, None))[0])} {name!r}"


def _quantisation_problems(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> Iterator[str]:
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return
    label = _label(node)
    for name in node.input[1:]:
        if name not in stored:
            yield f"{label} has a scale or zero point {name!r} that is not stored in the file"
    if len(node.input) > 2 and node.input[2] in stored and not stored_zero(stored[node.input[2]]):
        yield f"{label} has a zero point other than 0"


def _byte_problems(model: onnx.ModelProto, consumers: dict[str, str]) -> Iterator[str]:
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Cast" and any(a.name == "to" and a.i == TensorProto.UINT8 for a in node.attribute):
            if node.output[0] in consumers:
                yield f"{_label(node)} gives uint8 to {consumers[node.output[0]]}, and only outputs may be uint8"
            elif node.output[0] not in outputs:
                yield f"{_label(node)} gives uint8 to nothing"
    for value in model.graph.output:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            maker = next((n for n in model.graph.node if value.name in n.output), None)
            if maker is None or maker.op_type != "Cast":
                yield f"output {value.name!r} is uint8 from something other than a Cast"
