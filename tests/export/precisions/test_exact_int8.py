"""Exact in 8 bits: the bytes of integer arithmetic however an engine fuses, and a proof that can fail."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.canvas_sessions import canvas_library, canvas_tensors
from helpers.int8_canvas import integer_int8_frames

from pfnr_export.emit import emit, serialise
from pfnr_export.exact_int8 import layers as exact_int8_layers
from pfnr_export.exact_int8.layers import Grid, Int8Conv
from pfnr_export.exact_int8.rewrite import COLOURS, convolutions, in_8_bits, ranges, widest
from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.lowerings import choose_lowering
from pfnr_export.materialise import materialise
from pfnr_export.passes import run_passes
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import FRAME_INDEX, ArtifactContract
from pfnr_runtime.artifact.exactness import FramesDigest
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_runtime.proof.exact_check import check_exact
from pfnr_train.library.library import Library
from pfnr_train.model.canvas import PANNED
from pfnr_train.model.config import preset_config
from pfnr_train.model.network import to_uint8

FRAMES = 5
CONFIG = preset_config("canvas", 80, 45)
ENLARGING = preset_config("cpu-m", 80, 48)
CONFIGS = (CONFIG, ENLARGING, CONFIG)  # by seed
LEVELS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL")
ANY_LOSS = ExportOptions(precision="exact-int8", psnr_budget=20.0)  # random weights have no quality to lose


@cache
def session_of(seed: int) -> tuple[Library, dict[str, Quantised]]:
    """A session whose weights have steps of several sizes, more of them than 8 bits have."""
    tensors = canvas_tensors(CONFIGS[seed], seed)
    rng = np.random.default_rng(seed)
    for name, tensor in tensors.items():
        if name.endswith(("conv.weight", "head.weight")):
            integers = rng.integers(-150, 151, tensor.integers.shape)
            integers[2] = 0  # a channel of its bias alone
            tensors[name] = Quantised(integers.astype(np.int32), int(rng.integers(-10, -8)) + 2 * ("head" in name))
    return canvas_library(FRAMES, tensors, config=CONFIGS[seed]), tensors


@cache
def built(seed: int) -> tuple[onnx.ModelProto, ArtifactContract]:
    return build_model(session_of(seed)[0], 0, ANY_LOSS)


def expected_frames(library: Library, tensors: dict[str, Quantised], contract: ArtifactContract) -> np.ndarray:
    low = {row["layer"]: row for row in contract.precision_report["layers"] if row["precision"] == "int8"}
    table = library.session_weights(0).time_table
    return integer_int8_frames(library.config, tensors, table, low).astype(np.uint8)


def run(model: bytes, level: str, threads: int, batch: int) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    frames = np.arange(batch) % FRAMES
    [decoded] = session.run(None, {FRAME_INDEX.name: frames})
    return decoded


@pytest.mark.parametrize("seed", [0, 1])
def test_onnx_runtime_gives_the_bytes_of_integer_arithmetic_fused_or_not(seed: int) -> None:
    (library, tensors), (model, contract) = session_of(seed), built(seed)
    assert {row["precision"] for row in contract.precision_report["layers"]} == {"int8"}
    expected = expected_frames(library, tensors, contract)
    assert len(np.unique(expected)) > 50
    assert contract.exactness is not None
    digest = FramesDigest().add_all(expected)
    assert (contract.exactness.frames_sha256, contract.exactness.frame_checks) == (digest.sha256, digest.checks)
    for level, threads, batch in product(LEVELS, (1, 2, 4), (1, 3, 8)):
        decoded = run(serialise(model), level, threads, batch)
        assert np.array_equal(decoded, expected[np.arange(batch) % FRAMES]), (level, threads, batch)


def test_onnx_runtime_really_runs_integer_kernels(tmp_path: Path) -> None:
    model, _ = built(0)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(serialise(model), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert (kinds.count("QLinearConv"), kinds.count("Conv")) == (4, 0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_mixture_with_exact_float_is_exact(count: int) -> None:
    library, tensors = session_of(2)
    session = library.session_weights(0)
    decoder, _ = run_passes(materialise(session, choose_lowering("auto", CONFIG)))
    names = list(convolutions(decoder))
    grids = widest(decoder, ranges(decoder, torch.arange(FRAMES).split(2)))
    _, contract = build_model(library, 0, ExportOptions(precision="fp32"))
    for low in (frozenset(names[:count]), frozenset(names[-count:])):
        rows = {
            name: {"input": [g.input.step, g.input.shift], "sums": [g.sums.step, g.sums.shift]}
            for name, g in grids.items()
            if name in low
        }
        expected = integer_int8_frames(CONFIG, tensors, session.time_table, rows)
        made = in_8_bits(decoder, low, grids)
        for level in LEVELS:
            assert np.array_equal(run(serialise(emit(made, contract)), level, 1, FRAMES), expected)
        for dtype in (torch.float32, torch.float64):
            with torch.no_grad():
                assert np.array_equal(to_uint8(deepcopy(made).to(dtype)(torch.arange(FRAMES))), expected)


@pytest.mark.parametrize("suffix", [".onnx", ".pfnv"])
def test_a_file_proves_itself_and_keeps_its_budget_against_the_library(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    contract = export_session(session_of(1)[0], 0, path, ANY_LOSS).contract
    assert ArtifactContract.from_json(json.loads(contract.to_text())) == contract
    with VideoDecoder(path, threads=1) as video:
        report = check_exact(video)
        assert report.passed
        assert "exact: every sum stays" in report.expected.sentence()
        assert rule_for(video.contract).to_json()["kind"] == "budget"


def test_two_products_never_saturate_16_bits_and_the_exporter_proves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.tensor([[[[127.0]], [[-60.0]], [[3.0]]]])
    assert Int8Conv(weight, None, Grid(1.0), 0.0).largest_pair == 255 * (64 + 2)  # steps of 2; 3 becomes 2
    rows = built(0)[1].precision_report["layers"]
    assert all(0 < row["largest_pair"] <= 2**15 - 1 and row["largest_sum"] < 2**31 for row in rows)
    monkeypatch.setattr(exact_int8_layers, "MOST_WEIGHT", 127)
    with pytest.raises(VerificationError, match=r"layer canvases/block_0_conv: its largest pair .* hold 32767"):
        build_model(session_of(0)[0], 0, ANY_LOSS)


def test_a_bias_that_dwarfs_its_weights_keeps_to_32_bits() -> None:
    conv = Int8Conv(torch.full((2, 1, 1, 1), 2.0**-30), torch.tensor([3000.0, 0.0]), Grid(8.0), 0.0)
    assert conv.largest_sum < 2**24
    assert conv.bias[0] == 3000
    assert conv.low[1] == 2.0**-30


def test_the_256_colours_are_those_of_a_pixel() -> None:
    values = COLOURS.shift + COLOURS.step * np.arange(-128, 128)
    assert np.array_equal(np.rint(255 * np.clip(values / 1024 + 0.5, 0, 1)), np.arange(256))


def test_a_loss_beyond_the_budget_is_refused_with_its_size() -> None:
    library, _ = session_of(0)
    with pytest.raises(VerificationError, match=r"no mixture of exact-int8 .* loses \d+\.\d+ dB"):
        build_model(library, 0, ExportOptions(precision="exact-int8", psnr_budget=1e-9))


def test_a_session_that_float32_does_not_hold_is_refused_by_layer() -> None:
    tensors = canvas_tensors(CONFIG)
    canvas = tensors[PANNED].integers.copy()
    canvas.flat[0] = 1 << 13
    library = canvas_library(2, tensors | {PANNED: Quantised(canvas, -4)})
    with pytest.raises(VerificationError, match="layer canvases/window, channel"):
        build_model(library, 0, ANY_LOSS)


def test_continuous_time_is_refused() -> None:
    with pytest.raises(UsageError, match="whole frames only"):
        build_model(session_of(0)[0], 0, ExportOptions(precision="exact-int8", time="continuous"))
