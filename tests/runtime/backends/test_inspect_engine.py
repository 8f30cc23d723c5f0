"""An engine's number types are read from its inspector; one in other types than the graph's is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pfnr_runtime.artifact.onnx.file import NodeInfo, OnnxSummary
from pfnr_runtime.artifact.onnx.tensor import TensorInfo
from pfnr_runtime.backends.trt.inspect_engine import EngineTypes, check_types, inspect_engine, read_types
from pfnr_runtime.errors import BackendError


def summary(*dtypes: str, operators: tuple[str, ...] = ("Conv",)) -> OnnxSummary:
    tensors = tuple(TensorInfo(f"t{i}", dtype, (1,), 4) for i, dtype in enumerate(dtypes))
    nodes = tuple(NodeInfo(op, "", op) for op in operators)
    return OnnxSummary(9, "", {"": 20}, {}, (), (), nodes, tensors, ())


def layer(text: str, tactic: str = "kernel", **more: Any) -> dict[str, Any]:
    """A layer as TensorRT 10 writes it."""
    return {"Name": "conv", "TacticName": tactic, "Outputs": [{"Name": "x", "Format/Datatype": text}], **more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Float", {"float32"}),
        ("Row major linear FP32", {"float32"}),
        ("Half", {"float16"}),
        ("Row major linear FP16 format", {"float16"}),
        ("Channel major FP16 format where C % 8 == 0", {"float16"}),
        ("Thirty-two wide channel vectorized row major Int8 format.", {"int8"}),
        ("BFloat16", {"bfloat16"}),
        ("BF16", {"bfloat16"}),
        ("FP8", {"float8"}),
        ("Int4", {"int4"}),
        ("UInt8", set()),
        ("Int64", set()),
        ("Bool", set()),
    ],
)
def test_every_spelling_is_understood(text: str, expected: set[str]) -> None:
    assert read_types({"Layers": [layer(text)]}).types == expected


def test_newer_fields_and_weights_are_read_too() -> None:
    newer = {"Name": "a", "Inputs": [{"DataType": "Half", "Format": "Row major linear"}]}
    weighed = {"Name": "b", "Weights": {"Type": "Int8", "Count": 9}, "LayerType": "Convolution"}
    assert read_types({"Layers": [newer, weighed]}).types == {"float16", "int8"}


def test_layers_that_are_mere_names_say_nothing() -> None:
    assert read_types({"Layers": ["conv_float", "half"]}).types == frozenset()


@pytest.mark.parametrize(
    ("engine", "graph"),
    [
        (["Float"], summary("float32", "int64")),
        (["Float", "Half"], summary("float32", "float16")),
        (["Float", "Int8"], summary("float32", "int8", operators=("QuantizeLinear",))),
        (["Float"], summary("float32", "int8", operators=("DequantizeLinear",))),
        (["Float", "Int8"], summary("float32", "int8", operators=("DequantizeLinear",))),
    ],
)
def test_the_graphs_own_types_are_accepted(engine: list[str], graph: OnnxSummary) -> None:
    check_types(read_types({"Layers": [layer(t) for t in engine]}), graph, tf32=False, name="v.onnx")


@pytest.mark.parametrize(
    ("engine", "graph", "message"),
    [
        (["Float", "Half"], summary("float32"), "computes in float16, which the graph does not"),
        (["Float", "Int8"], summary("float32"), "computes in int8"),
        (["Float"], summary("float32", "float16"), "lacks float16, which the graph has"),
        (["Float"], summary("float32", "int8", operators=("QuantizeLinear",)), "lacks int8"),
        (["BF16"], summary("float16"), "computes in bfloat16, .* and lacks float16"),
        ([], summary("float32"), "names no number types"),
    ],
)
def test_other_types_are_refused(engine: list[str], graph: OnnxSummary, message: str) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        check_types(read_types({"Layers": [layer(t) for t in engine]}), graph, tf32=False, name="v.onnx")
    assert caught.value.exit_code == 4


def test_tf32_is_refused_unless_asked_for() -> None:
    found = read_types({"Layers": [layer("Float", "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32")]})
    with pytest.raises(BackendError, match="computes in TF32"):
        check_types(found, summary("float32"), tf32=False, name="v.onnx")
    check_types(found, summary("float32"), tf32=True, name="v.onnx")


class EngineLibrary:
    """Just what `inspect_engine` takes of a library."""

    class trt:  # noqa: N801
        class LayerInformationFormat:
            JSON = "json"

    def __str__(self) -> str:
        return "TensorRT 0"


class Engine:
    """An engine whose inspector answers `text`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def create_engine_inspector(self) -> Engine:
        return self

    def get_engine_information(self, form: str) -> str:
        assert form == "json"
        return self.text


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Layers": 3}', "null"])
def test_an_unreadable_answer_is_an_error(text: str) -> None:
    library: Any = EngineLibrary()
    with pytest.raises(BackendError, match="TensorRT 0: its engine inspector gave no readable answer"):
        inspect_engine(library, Engine(text))


def test_a_readable_answer_is_summed_up() -> None:
    library: Any = EngineLibrary()
    found = inspect_engine(library, Engine(json.dumps({"Layers": [layer("Half"), layer("Float")]})))
    assert found == EngineTypes(2, frozenset({"float16", "float32"}))
    assert str(found) == "2 layers in float16, float32"
