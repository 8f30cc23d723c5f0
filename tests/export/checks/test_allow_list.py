"""The static check lets what we export pass and names whatever some engine would not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.libraries import made_library, small_config
from onnx import TensorProto, helper, numpy_helper

from pfnr_export import export_session as exporting
from pfnr_export.checks.allow_list import RULES, PortabilityError, check_allow_list, problems
from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.lowerings import LOWERINGS
from pfnr_runtime.artifact.operators import ALLOWED_OPERATORS, PORTABLE_OPERATORS
from pfnr_runtime.errors import PfnrError
from pfnr_train.model.config import ModelConfig

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return build_model(made_library(small_config()), 0, ExportOptions())[0]


@pytest.mark.parametrize("output", ["uint8", "float32"])
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("combine", ["replace", "add", "concat", "none"])
def test_everything_we_export_passes(combine: str, lowering: str, output: str) -> None:
    for bias, activation, grid in ((False, "tanh", (5, 7)), (True, "sigmoid", (4, 6))):
        config = small_config(combine, bias=bias, output=activation, grid=grid)
        model, _ = build_model(made_library(config), 0, ExportOptions(lowering, output=output))
        check_allow_list(model)


def test_rules_are_about_portable_operators_which_the_runtime_reads() -> None:
    assert RULES.keys() <= PORTABLE_OPERATORS <= ALLOWED_OPERATORS


def test_a_shuffle_in_a_stated_order_passes(exported: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    shuffled("CRD")(model)
    assert not list(problems(model))


def node(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.op_type == op)


def set_attribute(op: str, name: str, value: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        target = node(model, op)
        kept = [a for a in target.attribute if a.name != name]
        del target.attribute[:]
        target.attribute.extend(kept)
        if value is not None:
            target.attribute.append(helper.make_attribute(name, value))

    return change


def rename(op: str, to: str, domain: str = "") -> Change:
    def change(model: onnx.ModelProto) -> None:
        target = node(model, op)
        target.op_type, target.domain = to, domain

    return change


def before_output(*ops: str) -> Change:
    """Put nodes between the last one and the output."""

    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "inner.0"
        for i, op in enumerate(ops):
            name = "frames" if i == len(ops) - 1 else f"inner.{i + 1}"
            model.graph.node.append(helper.make_node(op, [f"inner.{i}"], [name], name=f"extra.{i}"))

    return change


def set_opset(version: int, domain: str = "") -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.extend([helper.make_opsetid("", 17)] if domain else [])
        model.opset_import.append(helper.make_opsetid(domain, version))

    return change


def widen(model: onnx.ModelProto) -> None:
    """Everything in double precision."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
            tensor.CopyFrom(wide)


def add_subgraph(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["inner.0"], ["y"])],
        "body",
        [],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
    )
    before_output("Identity")(model)
    model.graph.node[-1].attribute.append(helper.make_attribute("body", body))


def external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def byte_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("masks", TensorProto.UINT8, [8]))


def quantise(zero: int, kind: Any = np.int8, stored: bool = True) -> Change:
    """A QuantizeLinear and DequantizeLinear pair after the first convolution."""

    def change(model: onnx.ModelProto) -> None:
        position = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
        conv = model.graph.node[position]
        name, conv.output[0] = conv.output[0], "before"
        ends = ["scale", "zero"]
        model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "scale"))
        if stored:
            model.graph.initializer.append(numpy_helper.from_array(kind(zero), "zero"))
        else:
            ends = ["scale"]
        model.graph.node.insert(
            position + 1, helper.make_node("QuantizeLinear", ["before", *ends], ["q"], name="q")
        )
        model.graph.node.insert(
            position + 2, helper.make_node("DequantizeLinear", ["q", *ends], [name], name="dq")
        )

    return change


def shuffled(mode: str | None) -> Change:
    """A DepthToSpace after the first convolution, as graphs have that were exported without the passes."""

    def change(model: onnx.ModelProto) -> None:
        position = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
        conv = model.graph.node[position]
        name, conv.output[0] = conv.output[0], "before"
        attributes = {"blocksize": 1} | ({} if mode is None else {"mode": mode})
        shuffle = helper.make_node("DepthToSpace", ["before"], [name], name="shuffle", **attributes)
        model.graph.node.insert(position + 1, shuffle)

    return change


CASES: list[tuple[str, Change, list[str]]] = [
    ("operator", rename("Sigmoid", "Softplus2"), ["(Softplus2)", "operator"]),
    ("einsum", rename("MatMul", "Einsum"), ["(Einsum)", "operator"]),
    ("swish", rename("Sigmoid", "Swish"), ["(Swish)", "operator"]),
    ("domain of a node", rename("Sigmoid", "Gelu", "com.microsoft"), ["com.microsoft"]),
    ("domain of the model", set_opset(1, "ai.onnx.ml"), ["'ai.onnx.ml'"]),
    ("opset too new", set_opset(21), ["opset 21", "13 to 20"]),
    ("opset too old", set_opset(11), ["opset 11"]),
    ("newer file", lambda m: setattr(m, "ir_version", 11), ["IR version 11"]),
    ("kernel shape", set_attribute("Conv", "kernel_shape", None), ["(Conv)", "kernel_shape"]),
    ("padding", set_attribute("Conv", "auto_pad", "SAME_UPPER"), ["(Conv)", "auto_pad 'SAME_UPPER'"]),
    ("unknown attribute", set_attribute("Gather", "mode", "fast"), ["(Gather)", "'mode'"]),
    ("attribute of a plain one", set_attribute("Sigmoid", "alpha", 0.5), ["(Sigmoid)", "'alpha'"]),
    ("shuffle order", shuffled("XYZ"), ["(DepthToSpace)", "mode 'XYZ'"]),
    ("shuffle order unsaid", shuffled(None), ["(DepthToSpace)", "mode"]),
    ("zero in shapes", set_attribute("Reshape", "allowzero", 1), ["(Reshape)", "allowzero 1"]),
    ("double precision", widen, ["float64"]),
    ("more after uint8", before_output("Identity"), ["uint8", "Identity"]),
    ("uint8 not from a cast", before_output("Identity", "Identity"), ["uint8"]),
    ("subgraph", add_subgraph, ["extra.0", "subgraph"]),
    ("external data", external, ["outside the file"]),
    ("uint8 input", byte_input, ["input 'masks' is uint8"]),
    ("zero point", quantise(3), ["zero point other than 0"]),
    ("unsigned activations", quantise(0, np.uint8), ["uint8"]),
    ("zero point unsaid", quantise(0, stored=False), ["gives uint8"]),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_some_engine_refuses_is_named(exported: onnx.ModelProto, change: Change, words: list[str]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    change(model)
    with pytest.raises(PortabilityError) as caught:
        check_allow_list(model)
    for word in words:
        assert word in str(caught.value), caught.value
    assert "TensorRT 10.3 to 11.4" in str(caught.value)


def test_symmetric_signed_quantisation_passes(exported: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    quantise(0)(model)
    assert list(problems(model)) == []


def test_types_that_do_not_fit_are_one_line(exported: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    node(model, "Gather").input[1] = next(n.output[0] for n in model.graph.node if n.op_type == "Conv")
    with pytest.raises(PfnrError) as caught:
        check_allow_list(model)
    assert "(Gather) takes float32" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_export_that_fails_the_check_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, path = made_library(small_config()), tmp_path / "v.onnx"
    build = exporting.build_model

    def broken(*args: Any, **options: Any) -> Any:
        model, contract = build(*args, **options)
        rename("Sigmoid", "Swish")(model)
        return model, contract

    monkeypatch.setattr(exporting, "build_model", broken)
    with pytest.raises(PortabilityError, match="Swish"):
        export_session(library, 0, path, ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_networks_of_every_depth_pass() -> None:
    for strides in ((2,), (1, 2), (5, 2, 2)):
        config = ModelConfig((4, 6), strides, channels=4, lower_width=3, stem_width=8, fourier=None)
        check_allow_list(build_model(made_library(config), 0, ExportOptions())[0])
