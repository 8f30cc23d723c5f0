"""The shapes that the runtime infers are those that ONNX Runtime computes, for every operator it accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from helpers.tiny_artifacts import between_model, conv_model, float_table_model, table_model
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pfnr_runtime.artifact.onnx.file import NodeInfo, summarise_bytes
from pfnr_runtime.artifact.onnx.tensor import DTYPES
from pfnr_runtime.artifact.operators import ALLOWED_OPERATORS
from pfnr_runtime.artifact.sizes.values import Call, SizeError, Value, known_value
from pfnr_runtime.artifact.sizes.walk import RULES, measure
from pfnr_runtime.artifact.sizes.whole_numbers import folded


def floats(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)


def whole(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def eights(*shape: int) -> NDArray[np.uint8]:
    return np.ones(shape, np.uint8)


def names(text: str) -> list[str]:
    return text.split()


ONE, ZERO8 = np.array(1, np.float32), np.array(0, np.uint8)
TRUE = np.ones((2, 3), np.bool_)
# Operator, the value that enters when it runs, what is stored in the file, attributes, and how many outputs.
Case = tuple[str, NDArray[Any], list[NDArray[Any]], dict[str, Any], int]
CASES: list[Case] = [
    *((name, floats(2, 3), [], {}, 1) for name in names("""
      Abs Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish Identity
      LeakyRelu Log Neg Reciprocal Relu Round Shape Sigmoid Sign Sin Size Softmax Softplus Sqrt Tanh""")),
    *((name, floats(2, 1, 3), [floats(4, 1)], {}, 1) for name in names("""
      Add Div Max Min Mul Pow Sub Sum PRelu Equal
      Greater GreaterOrEqual Less LessOrEqual""")),
    *((name, TRUE, [np.ones((1, 3), np.bool_)], {}, 1) for name in ("And", "Or", "Xor")),
    *((name, floats(2, 3, 4), [whole(-1)], {}, 1)
      for name in ("ReduceSum", "ReduceMax", "ReduceMean", "ReduceMin")),
    ("Mod", whole(5, 6), [whole(3)], {}, 1),
    ("Not", TRUE, [], {}, 1),
    ("Gelu", floats(2, 3), [], {}, 1),
    ("ReduceSum", floats(2, 3, 4), [], {"keepdims": 0}, 1),
    ("ReduceSum", floats(2, 3, 4), [whole(0, 2)], {"keepdims": 0}, 1),
    ("ReduceSum", floats(2, 3, 4), [], {"noop_with_empty_axes": 1}, 1),
    ("AveragePool", floats(1, 2, 7, 9), [], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, 1),
    ("AveragePool", floats(1, 2, 8, 9), [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 1),
    ("BatchNormalization", floats(2, 3, 4), [floats(3)] * 4, {}, 1),
    ("Cast", floats(2, 3), [], {"to": 7}, 1),
    ("CastLike", floats(2, 3), [whole(1)], {}, 1),
    ("Clip", floats(2, 3), [ONE, ONE], {}, 1),
    ("Concat", floats(2, 3), [floats(2, 5), floats(2, 1)], {"axis": -1}, 1),
    ("ConstantOfShape", whole(1), [], {}, 0),
    ("Conv", floats(2, 4, 7, 9), [floats(6, 2, 3, 3)], {"group": 2, "pads": [1, 2, 0, 1], "strides": [2, 1]}, 1),
    ("Conv", floats(2, 4, 7, 9), [floats(6, 4, 3, 3), floats(6)], {"dilations": [2, 3]}, 1),
    ("Conv", floats(2, 4, 7, 9), [floats(6, 4, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 1),
    ("Conv", floats(2, 4, 7, 9), [floats(6, 4, 3, 3)], {"auto_pad": "VALID"}, 1),
    ("Conv", floats(2, 4, 9), [floats(6, 4, 3)], {}, 1),
    ("ConvInteger", eights(1, 2, 5, 5), [eights(3, 2, 3, 3)], {}, 1),
    ("ConvTranspose", floats(1, 4, 5, 6), [floats(4, 3, 3, 3)], {"strides": [2, 3], "pads": [1, 1, 0, 0]}, 1),
    ("ConvTranspose", floats(1, 4, 5, 6), [floats(4, 3, 3, 3)],
     {"group": 2, "output_padding": [1, 0], "strides": [2, 2]}, 1),
    ("DepthToSpace", floats(1, 8, 2, 3), [], {"blocksize": 2, "mode": "CRD"}, 1),
    ("DequantizeLinear", eights(2, 3), [ONE, ZERO8], {}, 1),
    ("DynamicQuantizeLinear", floats(2, 3), [], {}, 3),
    ("Expand", floats(2, 1), [whole(3, 1, 4)], {}, 1),
    ("Flatten", floats(2, 3, 4), [], {"axis": 2}, 1),
    ("Flatten", floats(2, 3, 4), [], {"axis": -1}, 1),
    ("Gather", floats(5, 3), [whole(0, 2, 4, 1)], {"axis": 0}, 1),
    ("Gather", floats(5, 3), [np.array([[0], [1]])], {"axis": -1}, 1),
    ("GatherElements", floats(5, 3), [np.zeros((2, 3), np.int64)], {"axis": 0}, 1),
    ("GatherND", floats(5, 3, 2), [np.zeros((4, 2), np.int64)], {}, 1),
    ("GatherND", floats(5, 3, 2), [np.zeros((5, 1), np.int64)], {"batch_dims": 1}, 1),
    ("Gemm", floats(3, 2), [floats(4, 3), floats(4)], {"transA": 1, "transB": 1}, 1),
    ("InstanceNormalization", floats(2, 3, 4), [floats(3)] * 2, {}, 1),
    ("LayerNormalization", floats(2, 3, 4), [floats(3, 4)], {"axis": 1}, 3),
    ("MatMul", floats(2, 1, 3, 4), [floats(5, 4, 6)], {}, 1),
    ("MatMul", floats(3, 4), [floats(4)], {}, 1),
    ("MatMul", floats(4), [floats(2, 4, 3)], {}, 1),
    ("MatMulInteger", eights(2, 3), [eights(3, 4)], {}, 1),
    ("Pad", floats(2, 3), [whole(1, 0, 2, 3)], {}, 1),
    ("Pad", floats(2, 3), [whole(1, 2), ONE, whole(-1)], {}, 1),
    ("QLinearConv", eights(1, 2, 5, 5), [ONE, ZERO8, eights(3, 2, 3, 3), ONE, ZERO8, ONE, ZERO8], {}, 1),
    ("QLinearMatMul", eights(2, 3), [ONE, ZERO8, eights(3, 4), ONE, ZERO8, ONE, ZERO8], {}, 1),
    ("QuantizeLinear", floats(2, 3), [ONE, ZERO8], {}, 1),
    ("QuantizeLinear", floats(2, 3), [ONE], {}, 1),
    ("Reshape", floats(2, 3, 4), [whole(0, -1, 2)], {}, 1),
    ("Resize", floats(1, 2, 4, 5), [np.array([], np.float32), np.array([1, 1, 2.5, 0.5], np.float32)], {}, 1),
    ("Resize", floats(1, 2, 4, 5), [np.array([], np.float32), np.array([], np.float32), whole(1, 2, 7, 3)], {}, 1),
    ("Resize", floats(1, 1, 25, 5), [np.array([], np.float32), np.array([1, 1, 0.04, 1], np.float32)], {}, 1),
    ("Slice", floats(9, 8), [whole(1, -3), whole(1 << 40, -1)], {}, 1),
    ("Slice", floats(9, 8), [whole(-1), whole(-100), whole(0), whole(-2)], {}, 1),
    ("SpaceToDepth", floats(1, 2, 4, 6), [], {"blocksize": 2}, 1),
    ("Split", floats(2, 7), [whole(3, 4)], {"axis": 1}, 2),
    ("Split", floats(2, 7), [], {"axis": 1, "num_outputs": 3}, 3),
    ("Squeeze", floats(1, 2, 1), [whole(-1)], {}, 1),
    ("Squeeze", floats(1, 2, 1), [], {}, 1),
    ("Tile", floats(2, 3), [whole(2, 4)], {}, 1),
    ("Transpose", floats(2, 3, 4), [], {"perm": [2, 0, 1]}, 1),
    ("Transpose", floats(2, 3, 4), [], {}, 1),
    ("Unsqueeze", floats(2, 3), [whole(0, -1)], {}, 1),
    ("Where", TRUE, [floats(3), floats(2, 1)], {}, 1),
]  # fmt: skip
# Without a value of the file's input: their size follows from what is stored.
FROM_THE_FILE: list[Case] = [
    ("Constant", whole(), [], {"value_ints": [1, 2, 3]}, 1),
    ("Constant", whole(), [], {"value_float": 2.0}, 1),
    ("ConstantOfShape", whole(), [whole(2, 3)], {}, 1),
    ("Range", whole(), [np.array(1, np.int64), np.array(10, np.int64), np.array(4, np.int64)], {}, 1),
    ("Range", whole(), [np.array(n, np.int64) for n in (1 << 60, (1 << 60) + 100, 1)], {}, 1),
    ("Range", whole(), [np.array(n, np.int64) for n in (9, -1, -3)], {}, 1),
    ("Range", whole(), [np.array(n, np.float32) for n in (1e8, 1e8 + 100, 7)], {}, 1),
    ("Range", whole(), [np.array(9, np.float32), np.array(1, np.float32), np.array(-3, np.float32)], {}, 1),
]


def node_model(case: Case, reads: bool, opset: int = 20) -> onnx.ModelProto:
    """A model of one node. reads: whether it takes the model's input."""
    op, value, stored, attributes, outputs = case
    names = ["x"] * reads + [f"t{i}" for i in range(len(stored))]
    # An empty float tensor stands for an input that is left out.
    names = [
        "" if n != "x" and stored[int(n[1:])].dtype == np.float32 and not stored[int(n[1:])].size else n
        for n in names
    ]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], **attributes)
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, list(value.shape))],
        [helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)],
        [numpy_helper.from_array(tensor, f"t{i}") for i, tensor in enumerate(stored)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def inferred(model: onnx.ModelProto, value: NDArray[Any]) -> list[tuple[int, ...]]:
    summary = summarise_bytes(model.SerializeToString(), Path("model"))
    return list(measure(summary, {"x": value.shape}).outputs)


def computed(model: onnx.ModelProto, value: NDArray[Any]) -> list[tuple[int, ...]]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.shape(array) for array in session.run(None, {"x": value})]


@pytest.mark.parametrize("case", [c for c in CASES if c[4]], ids=lambda c: c[0])
def test_an_operators_output_has_the_shape_that_onnx_runtime_gives_it(case: Case) -> None:
    model = node_model(case, reads=True)
    assert inferred(model, case[1]) == computed(model, case[1])


@pytest.mark.parametrize("case", FROM_THE_FILE, ids=lambda c: c[0])
def test_a_size_that_the_file_tells_is_known(case: Case) -> None:
    model = node_model(case, reads=False)
    assert inferred(model, case[1]) == computed(model, case[1])


def test_every_operator_that_is_accepted_has_a_shape() -> None:
    assert set(RULES) == ALLOWED_OPERATORS
    tried = {case[0] for case in CASES + FROM_THE_FILE}
    assert tried >= ALLOWED_OPERATORS - {"Swish"}  # of opset 24, which ONNX Runtime 1.19 does not have


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make", [table_model, float_table_model, conv_model, between_model])
def test_every_value_of_a_decoder_has_the_shape_that_is_computed(make: Any, batch: int) -> None:
    model = make()
    names = [name for node in model.graph.node for name in node.output]
    kinds = {"Cast": onnx.TensorProto.UINT8}
    for node in model.graph.node:
        if node.output[0] != "frames":
            kind = kinds.get(node.op_type, onnx.TensorProto.FLOAT)
            model.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    given = model.graph.input[0]
    row = [d.dim_value for d in given.type.tensor_type.shape.dim][1:]
    value = np.zeros((batch, *row), np.float32 if row else np.int64)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    computed = dict(zip(names, (a.shape for a in session.run(names, {given.name: value})), strict=True))
    for output in model.graph.output:
        if not output.type.tensor_type.HasField("shape"):
            for side in computed[output.name]:
                output.type.tensor_type.shape.dim.add().dim_value = side
    summary = summarise_bytes(model.SerializeToString(), Path("model"))
    found = measure(summary, {given.name: value.shape}).outputs
    assert dict(zip((o.name for o in model.graph.output), found, strict=True)) == computed


WRONG: list[Case] = [
    ("Add", floats(2, 3), [floats(4)], {}, 1),
    ("Concat", floats(2, 3), [floats(3, 3)], {"axis": 1}, 1),
    ("Concat", floats(2, 3), [floats(2)], {"axis": 0}, 1),
    ("Conv", floats(1, 4, 5, 5), [floats(6, 3, 3, 3)], {}, 1),
    ("Conv", floats(1, 4, 5, 5), [floats(6, 4, 3, 3)], {"strides": [0, 1]}, 1),
    ("Conv", floats(1, 4, 5, 5), [floats(6, 4, 3, 3)], {"strides": [1]}, 1),
    ("Conv", floats(1, 4, 5, 5), [floats(6, 4, 3, 3)], {"kernel_shape": [3, 5]}, 1),
    ("Conv", floats(1, 4, 5, 5), [floats(6, 4, 3, 3)], {"auto_pad": "SIDEWAYS"}, 1),
    ("Conv", floats(4), [floats(6)], {}, 1),
    ("ConvTranspose", floats(1, 4, 5, 5), [floats(3, 4, 3, 3)], {}, 1),
    ("ConvTranspose", floats(1, 4, 5, 5), [floats(4, 4, 3, 3)], {"output_shape": [9, 9]}, 1),
    ("DepthToSpace", floats(1, 3, 2, 2), [], {"blocksize": 2}, 1),
    ("DepthToSpace", floats(1, 3, 2, 2), [], {}, 1),
    ("SpaceToDepth", floats(1, 3, 3, 2), [], {"blocksize": 2}, 1),
    ("Expand", floats(2, 3), [whole(2, 4)], {}, 1),
    ("Flatten", floats(2, 3), [], {"axis": 3}, 1),
    ("GatherND", floats(2, 3), [np.zeros((1, 3), np.int64)], {}, 1),
    ("MatMul", floats(2, 3), [floats(4, 2)], {}, 1),
    ("MatMul", floats(), [floats(4, 2)], {}, 1),
    ("Gemm", floats(2, 3, 1), [floats(3, 2)], {}, 1),
    ("Pad", floats(2, 3), [whole(1, 1)], {}, 1),
    ("Pad", floats(2, 3), [whole(-2, 0, -2, 0)], {}, 1),
    ("AveragePool", floats(2, 3), [], {"kernel_shape": [1]}, 1),
    ("ReduceSum", floats(2, 3), [whole(0, 0)], {}, 1),
    ("ReduceSum", floats(2, 3), [whole(5)], {}, 1),
    ("Reshape", floats(2, 3), [whole(4, -1)], {}, 1),
    ("Reshape", floats(2, 3), [whole(-1, -1)], {}, 1),
    ("Resize", floats(2, 3), [np.array([], np.float32), np.array([-1, 2], np.float32)], {}, 1),
    ("Resize", floats(2, 3), [np.array([], np.float32), np.array([1, 2], np.float32)], {"axes": [0]}, 1),
    ("Resize", floats(2, 3), [np.array([], np.float32), np.array([], np.float32), whole(3)], {}, 1),
    ("Slice", floats(2, 3), [whole(0), whole(1), whole(0), whole(0)], {}, 1),
    ("Split", floats(2, 3), [whole(1, 1)], {"axis": 1}, 2),
    ("Squeeze", floats(2, 3), [whole(0)], {}, 1),
    ("Unsqueeze", floats(2, 3), [], {}, 1),
    ("Tile", floats(2, 3), [whole(2)], {}, 1),
    ("Tile", floats(2, 3), [whole(1 << 40, 1 << 40)], {}, 1),
    ("Transpose", floats(2, 3), [], {"perm": [0, 0]}, 1),
    ("Cast", floats(2, 3), [], {"to": 99}, 1),
    ("Cast", floats(2, 3), [], {"to": "float"}, 1),
    ("Transpose", floats(2, 3), [], {"perm": 1}, 1),
    ("ConstantOfShape", whole(3), [], {}, 1),
    ("Reshape", whole(1), [], {}, 1),
    ("Relu", floats(2, 3), [], {}, 2),
    ("Sum", floats(2), [], {"none": 1}, 3),
    ("Slice", floats(9, 8), [whole(0), whole(0)], {}, 1),
    ("Constant", floats(2), [], {"value_ints": [1.5]}, 1),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda c: c[0])
def test_a_node_without_a_size_is_named(case: Case) -> None:
    op, value, stored, attributes, outputs = case
    names = ["x", *(f"t{i}" if t.size or t.dtype != np.float32 else "" for i, t in enumerate(stored))]
    graph = helper.make_graph(
        [helper.make_node(op, names, [f"y{i}" for i in range(outputs)], "culprit", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape))],
        [helper.make_tensor_value_info("y0", 1, [1])],
        [numpy_helper.from_array(tensor, f"t{i}") for i, tensor in enumerate(stored)],
    )
    with pytest.raises(SizeError, match="culprit"):
        inferred(helper.make_model(graph), value)


@pytest.mark.parametrize(
    ("left", "right"), [((1 << 62) - 1, 1 << 31), ((1 << 53) + 1, 1), (-7, 2), (7, -2), (-8, 2), (0, -3)]
)
def test_whole_numbers_are_divided_as_engines_divide_them(left: int, right: int) -> None:
    nodes = [helper.make_node("Div", ["left", "right"], ["y0"])]
    stored = [numpy_helper.from_array(whole(n), name) for name, n in (("left", left), ("right", right))]
    given = [helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [1])]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y0", 7, [1])], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    call = Call(nodes_of(model)[0], (known_value("int64", whole(left)), known_value("int64", whole(right))), 17)
    known = folded(call, Value("int64", (1,))).known
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert known is not None
    assert known.tolist() == session.run(None, {"x": whole(0)})[0].tolist()


def nodes_of(model: onnx.ModelProto) -> list[NodeInfo]:
    return list(summarise_bytes(model.SerializeToString(), Path("model")).nodes)


def test_inputs_of_a_fixed_shape_are_not_taken_off_what_lives() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "mask"], ["y0"])]
    given = [helper.make_tensor_value_info(name, 1, [1000]) for name in ("x", "mask")]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y0", 1, [1000])])
    summary = summarise_bytes(helper.make_model(graph).SerializeToString(), Path("model"))
    assert measure(summary, {}) == measure(summary, {"x": (1000,), "mask": (1000,)})
    assert measure(summary, {}).memory == 8000


def test_every_element_type_has_a_size() -> None:
    for name, bits in DTYPES.values():
        assert Value(name, (8,)).nbytes >= bits
