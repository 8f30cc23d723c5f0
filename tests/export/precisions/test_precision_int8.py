"""Int8: explicit, symmetric, inside the budget on every frame, and fast where it runs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from helpers.precision_subjects import FRAMES, fp32_model, frames_of, noisy_source, subject, without_source
from onnx import TensorProto, numpy_helper

from pfnr_export.emit import serialise
from pfnr_export.precisions.int8 import PRECISION as INT8
from pfnr_export.precisions.int8 import channel_gains
from pfnr_export.precisions.int8_graph import equalised, quantised
from pfnr_export.precisions.int8_ranges import LEAST_SQUARES, MINMAX, candidates, choose, magnitudes
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_runtime.video.metrics import psnr

CASES = [
    {},
    {"bias": True},
    {"output": "sigmoid"},
    {"fourier": None},
    {"strides": (1, 3)},
    {"strides": (3,), "fourier": None},
]


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_equalised_channels_give_the_same_frames(changes: dict[str, object]) -> None:
    model = fp32_model(**changes)
    convs = convolutions(model)
    gains = channel_gains(model, convs, [0, 3])
    rewritten = equalised(model, frozenset(conv.name for conv in convs), gains)
    onnx.checker.check_model(rewritten, full_check=True)
    difference = np.abs(frames_of(rewritten).astype(int) - frames_of(model))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.0002


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_every_frame_is_inside_the_budget_and_the_report_says_so(changes: dict[str, object]) -> None:
    given = subject(**changes)
    converted = INT8.convert(given)
    onnx.checker.check_model(converted.model, full_check=True)
    decoded, reference = frames_of(converted.model), frames_of(given.model)
    assert given.source is not None
    losses = [psnr(a, s) - psnr(b, s) for a, b, s in zip(reference, decoded, given.source, strict=True)]
    assert max(losses) <= given.budget
    report = converted.report
    assert report["judged_by"] == "source"
    assert report["loss_worst"] == pytest.approx(max(losses), abs=1e-4)
    assert [len(report[key]) for key in ("psnr_between", "source_psnr", "source_psnr_fp32")] == [FRAMES] * 3
    assert [row["layer"] for row in report["layers"]] == [conv.name for conv in convolutions(given.model)]
    assert any(row["precision"] == "int8" for row in report["layers"])


def test_activations_are_symmetric_int8_and_weights_int8_per_channel() -> None:
    model = INT8.convert(subject(budget=5)).model
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = stored[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    for conv in convolutions(model):
        weight = makers[conv.input[1]]
        values, scales = (stored[name] for name in weight.input[:2])
        assert values.dtype == np.int8
        assert scales.shape == values.shape[:1]
        assert makers[conv.input[0]].op_type == "DequantizeLinear"
    assert {entry.domain for entry in model.opset_import} == {""}


def test_the_fourier_block_reads_float_values_beside_an_int8_convolution() -> None:
    model = INT8.convert(subject(budget=5)).model
    makers = {node.output[0]: node for node in model.graph.node}
    [first] = [
        n
        for n in model.graph.node
        if "_fourier/" in n.name and n.op_type == "Transpose" and n.name.endswith("/transpose")
    ]
    assert makers[first.input[0]].op_type != "DequantizeLinear"


@pytest.mark.parametrize("changes", [{}, {"fourier": None}], ids=str)
def test_onnx_runtime_runs_every_int8_convolution_as_one(changes: dict[str, object]) -> None:
    model = INT8.convert(subject(budget=5, **changes)).model
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(serialise(model), options)
        operators = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert operators.count("QLinearConv") == len(convolutions(model))
    assert "Conv" not in operators
    assert "FusedConv" not in operators


def test_a_tight_budget_returns_the_worst_layers_to_fp32() -> None:
    # Against a source this good, every layer's loss stands out from the noise of single samples.
    loose = INT8.convert(without_source(subject(budget=5), 50.0))
    everything = len(loose.report["layers"])
    assert sum(row["precision"] == "int8" for row in loose.report["layers"]) == everything
    budget = 0.6 * loose.report["loss_worst"]
    tight = INT8.convert(without_source(subject(budget=budget), 50.0))
    kept = [row for row in tight.report["layers"] if row["precision"] == "int8"]
    assert 0 < len(kept) < everything
    assert tight.report["loss_worst"] <= budget
    types = {t.name: t.data_type for t in tight.model.graph.initializer}
    float_convs = [conv for conv in convolutions(tight.model) if types.get(conv.input[1]) == TensorProto.FLOAT]
    assert len(float_convs) == everything - len(kept)


def test_a_budget_that_nothing_meets_fails_and_names_the_best() -> None:
    with pytest.raises(VerificationError, match=r"within 1e-09 dB on every frame; the best of .* loses 0\.\d+ dB"):
        INT8.convert(without_source(subject(budget=1e-9)))


def test_without_the_source_the_loss_is_an_estimate_from_the_recorded_psnr() -> None:
    report = INT8.convert(without_source(subject())).report
    assert report["judged_by"] == "estimate"
    assert report["source_psnr"] is None
    expected = max(10 * np.log10(1 + 10 ** ((28 - between) / 10)) for between in report["psnr_between"])
    assert report["loss_worst"] == pytest.approx(expected, abs=2e-4)


def test_the_same_conversion_gives_the_same_bytes() -> None:
    once, again = (serialise(INT8.convert(subject()).model) for _ in range(2))
    assert once == again


def test_fewer_calibration_frames_are_a_choice() -> None:
    report = INT8.convert(replace(subject(), calibration_frames=2)).report
    assert report["calibration_frames"] == 2


def test_a_decoder_without_convolutions_has_nothing_to_run_in_int8() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(fp32_model())
    for node in convolutions(model):
        node.op_type = "MatMul"
    with pytest.raises(UsageError, match="int8-weights"):
        INT8.convert(replace(subject(), model=model))


def test_ranges_are_those_of_all_frames() -> None:
    model = fp32_model()
    name = convolutions(model)[0].output[0]
    found = magnitudes(model, [name], range(FRAMES))
    from pfnr_export.precisions.engine import Engine, with_outputs

    engine = Engine(with_outputs(model, [], [name]))
    expected = [np.abs(engine.values([name], frame)[0]).max() for frame in range(FRAMES)]
    assert found[:, 0] == pytest.approx(expected)


def test_clippings_are_tried_and_the_one_that_measures_best_is_chosen() -> None:
    rng = np.random.default_rng(0)
    heavy = rng.standard_t(3, 100_000).astype(np.float32)
    options = candidates(float(np.abs(heavy).max()), heavy)
    assert options[LEAST_SQUARES] < options[MINMAX] == pytest.approx(np.abs(heavy).max())
    limits, rules = choose({"x": {MINMAX: 8.0, "half": 4.0}}, lambda tried: abs(tried["x"] - 4.0))
    assert (limits, rules) == ({"x": 4.0}, {"x": "half"})


def test_a_layer_of_zeros_is_exact_at_any_scale() -> None:
    assert candidates(0.0, np.zeros(10, np.float32)) == {"min-max": 1.0}


def test_quantising_leaves_the_model_it_was_given_alone() -> None:
    model = fp32_model()
    before = serialise(model)
    convs = convolutions(model)
    gains = channel_gains(model, convs, [0])
    limits = {name: 4.0 for conv in convs for name in (conv.input[0], conv.output[0])}
    quantised(model, frozenset(conv.name for conv in convs), limits, gains)
    assert serialise(model) == before


def test_noise_makes_a_source_of_the_quality_meant() -> None:
    assert 26 < psnr(frames_of(fp32_model())[0], noisy_source()[0]) < 30
