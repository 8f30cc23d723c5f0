"""Fp16: one type a node, explicit casts, and a refusal of anything that leaves float16."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from helpers.precision_subjects import FRAMES, fp32_model, subject
from onnx import TensorProto, numpy_helper, shape_inference

from pfnr_export.emit import serialise
from pfnr_export.precisions.fp16 import PRECISION as FP16
from pfnr_export.precisions.onnx_edit import copied
from pfnr_runtime.errors import VerificationError

CASES = [{}, {"bias": True}, {"output": "sigmoid"}, {"fourier": None}]
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in inferred.initializer}


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_no_node_mixes_types(changes: dict[str, object]) -> None:
    model = FP16.convert(subject(**changes)).model
    onnx.checker.check_model(model, full_check=True)
    types = types_of(model)
    for node in model.graph.node:
        inputs = {types[name] for name in node.input} & set(FLOATS)
        assert len(inputs) <= 1, node.name
        if node.op_type != "Cast" and inputs:
            assert types[node.output[0]] in inputs, node.name


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_convolutions_are_half_and_table_fourier_block_and_output_are_not(changes: dict[str, object]) -> None:
    model = FP16.convert(subject(**changes)).model
    types = types_of(model)
    operators = {node.op_type for node in model.graph.node}
    assert "Conv" in operators
    assert "Gather" in operators
    for node in model.graph.node:
        kinds = {types[name] for name in (*node.input, *node.output)} & set(FLOATS)
        if node.op_type in ("Conv", "Gemm"):
            assert kinds == {TensorProto.FLOAT16}, node.name
        single = "_fourier/" in node.name or node.name.startswith("pixels/") or node.op_type == "Gather"
        if single and node.op_type != "Cast":
            assert kinds == {TensorProto.FLOAT}, node.name


def test_no_weight_is_stored_twice() -> None:
    fp32, half = fp32_model(), FP16.convert(subject()).model
    assert len(half.graph.initializer) == len(fp32.graph.initializer)


def test_the_loss_is_within_a_hundredth_of_a_decibel() -> None:
    report = FP16.convert(subject(budget=0.01)).report
    assert report["loss_worst"] <= 0.01
    assert len(report["psnr_between"]) == FRAMES


def scaled(largest: float, operator: str, which: int = 1) -> onnx.ModelProto:
    """The model with an input, by number, of its first such operator multiplied until it reaches `largest`."""
    model = copied(fp32_model())
    name = next(node.input[which] for node in model.graph.node if node.op_type == operator)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    value = numpy_helper.to_array(tensor)
    value = value * np.float32(largest / np.abs(value).max())
    tensor.CopyFrom(numpy_helper.from_array(value, name))
    return model


def test_an_overflow_names_the_value_and_the_frame() -> None:
    given = replace(subject(), model=scaled(1e6, "Gather", 0))
    with pytest.raises(VerificationError, match=r"fp16 overflows at \S+/gather in frame \d: .*65504"):
        FP16.convert(given)


def test_a_weight_beyond_float16_is_named() -> None:
    with pytest.raises(VerificationError, match="cannot hold block_0_conv/weight"):
        FP16.convert(replace(subject(), model=scaled(1e8, "Conv")))


def test_a_budget_that_half_precision_breaks_fails() -> None:
    with pytest.raises(VerificationError, match=r"fp16 loses .* the budget is 1e-09 dB"):
        FP16.convert(replace(subject(), source=None, recorded_psnr=28.0, budget=1e-9))


def test_the_same_conversion_gives_the_same_bytes() -> None:
    once, again = (serialise(FP16.convert(subject()).model) for _ in range(2))
    assert once == again
