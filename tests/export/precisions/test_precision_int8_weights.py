"""Weights in 8 bits: a quarter of the bytes, exact scales, fp32 arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers.precision_subjects import subject, without_source
from onnx import TensorProto, numpy_helper

from pfnr_export.emit import serialise
from pfnr_export.precisions.int8_weights import PRECISION as INT8_WEIGHTS
from pfnr_export.precisions.int8_weights import quantise
from pfnr_runtime.errors import VerificationError

WIDE: dict[str, object] = {"channels": 32, "lower_width": 24}


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def test_the_file_shrinks_to_about_a_quarter_within_the_budget() -> None:
    given = subject(**WIDE)
    converted = INT8_WEIGHTS.convert(given)
    onnx.checker.check_model(converted.model, full_check=True)
    assert weight_bytes(converted.model) < 0.35 * weight_bytes(given.model)
    assert converted.report["loss_worst"] <= given.budget
    assert {row["precision"] for row in converted.report["layers"]} == {"int8"}


def test_every_dequantised_weight_is_within_half_a_step_of_the_trained_one() -> None:
    given = subject(**WIDE)
    model = INT8_WEIGHTS.convert(given).model
    original = {t.name: numpy_helper.to_array(t) for t in given.model.graph.initializer}
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    dequantisers = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert dequantisers
    for node in dequantisers:
        axis = next(a.i for a in node.attribute if a.name == "axis")
        values, scale, zero = (stored[name] for name in node.input)
        assert not zero.any()
        weight = original[node.input[0].removesuffix("/int8")]
        wide = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
        assert np.abs(values * wide - weight).max() <= 0.5001 * scale.max()


def test_the_axis_is_the_one_with_the_least_error() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, 12, 40)).astype(np.float32) * np.geomspace(0.01, 1, 32)[:, None, None]
    assert quantise(weight.astype(np.float32))[2] == 0
    assert quantise(np.moveaxis(weight, 0, 2).astype(np.float32).copy())[2] == 2


def test_a_budget_that_nothing_meets_fails() -> None:
    with pytest.raises(VerificationError, match="no mixture of int8-weights and fp32"):
        INT8_WEIGHTS.convert(without_source(subject(budget=1e-9, **WIDE)))


def test_a_tight_budget_keeps_some_tensors_in_fp32() -> None:
    loose = INT8_WEIGHTS.convert(without_source(subject(budget=5, **WIDE))).report
    tight = INT8_WEIGHTS.convert(without_source(subject(budget=0.5 * loose["loss_worst"], **WIDE)))
    kinds = [row["precision"] for row in tight.report["layers"]]
    assert "fp32" in kinds
    assert "int8" in kinds
    assert TensorProto.INT8 in {tensor.data_type for tensor in tight.model.graph.initializer}


def test_the_same_conversion_gives_the_same_bytes() -> None:
    once, again = (serialise(INT8_WEIGHTS.convert(subject(**WIDE)).model) for _ in range(2))
    assert once == again
