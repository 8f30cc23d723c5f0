"""Exact artifacts: the bytes of integer arithmetic on every path, a proof that can fail, a digest that tells."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.canvas_sessions import canvas_library, canvas_tensors, integer_frames
from helpers.libraries import made_library, small_config
from onnx import numpy_helper

from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import FRAME_INDEX
from pfnr_runtime.artifact.exactness import Exactness, FramesDigest
from pfnr_runtime.artifact.onnx.seal import SEAL_KEY, seal
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_runtime.proof.exact_check import check_exact
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library
from pfnr_train.library.values.coded import stream_shapes
from pfnr_train.model.canvas import PANNED
from pfnr_train.model.config import FourierConfig, ModelConfig, preset_config
from pfnr_train.model.network import MaskedSession, to_uint8

FRAMES = 5
CONFIG = preset_config("canvas", 80, 45)
ENLARGING = preset_config("cpu-m", 80, 48)
LEVELS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL")


def session_of(seed: int, config: ModelConfig = CONFIG) -> tuple[Library, np.ndarray]:
    """A library of one session whose weights have steps of several sizes, and its frames by int64 arithmetic."""
    tensors = canvas_tensors(config, seed)
    rng = np.random.default_rng(seed)
    for name, tensor in tensors.items():
        if name.endswith(("weight", "canvas")) and not name.startswith("latents"):
            exponent = int(rng.integers(-7, -4)) if "canvas" not in name else 0
            tensors[name] = Quantised(rng.integers(-9, 10, tensor.integers.shape).astype(np.int32), exponent)
    library = canvas_library(FRAMES, tensors, config=config)
    return library, integer_frames(config, tensors, library.session_weights(0).time_table)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fast", [False, True])
def test_pytorch_gives_the_bytes_of_integer_arithmetic(seed: int, dtype: torch.dtype, fast: bool) -> None:
    library, expected = session_of(seed)
    model = MaskedSession(library.session_weights(0), dtype, fast)
    assert np.array_equal(to_uint8(model(torch.arange(FRAMES))), expected)


@pytest.mark.parametrize("fast", [False, True])
def test_an_enlarging_head_gives_them_too(fast: bool, tmp_path: Path) -> None:
    library, expected = session_of(3, ENLARGING)
    model = MaskedSession(library.session_weights(0), fast=fast)
    assert np.array_equal(to_uint8(model(torch.arange(FRAMES))), expected)
    export_session(library, 0, tmp_path / "v.pfnv", ExportOptions(precision="exact"))
    with VideoDecoder(tmp_path / "v.pfnv", threads=2) as video:
        assert np.array_equal(video[:].data, expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_onnx_runtime_gives_them_at_every_optimisation_level(level: str, threads: int) -> None:
    library, expected = session_of(0)
    model, _ = build_model(library, 0, ExportOptions())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in (1, 3, 8):
        frames = np.arange(batch) % FRAMES
        [decoded] = session.run(None, {FRAME_INDEX.name: frames})
        assert np.array_equal(decoded, expected[frames])


@pytest.mark.parametrize("suffix", [".onnx", ".pfnv"])
def test_the_default_artifact_carries_the_digest_of_those_frames(suffix: str, tmp_path: Path) -> None:
    library, expected = session_of(1)
    done = export_session(library, 0, tmp_path / f"v{suffix}", ExportOptions())
    digest = FramesDigest().add_all(expected.astype(np.uint8))
    assert done.contract.precision == "exact"
    assert done.contract.exactness is not None
    assert (done.contract.exactness.frames_sha256, done.contract.exactness.frame_checks) == (
        digest.sha256,
        digest.checks,
    )
    assert 0 < done.contract.exactness.margin < 24
    with VideoDecoder(tmp_path / f"v{suffix}", threads=1) as video:
        report = check_exact(video)
    assert report.passed
    assert report.different == ()


def test_bits_are_those_of_the_largest_sum_of_magnitudes() -> None:
    tensors = {name: Quantised(np.zeros(s, np.int32), 0) for name, s in stream_shapes(CONFIG).items()}
    tensors["block.0.conv.bias"] = Quantised(np.full(tensors["block.0.conv.bias"].integers.shape, 3, np.int32), 0)
    weight = np.zeros(tensors["block.1.conv.weight"].integers.shape, np.int32)
    weight[5, 2, 1, 1], weight[5, 3, 1, 1] = 7, -7  # x is 3 everywhere, so the sum is 0 and its magnitudes 42
    tensors["block.1.conv.weight"] = Quantised(weight, -3)
    _, contract = build_model(canvas_library(2, tensors), 0, ExportOptions())
    assert contract.exactness is not None
    [bits] = [b for name, b in contract.exactness.bits.items() if name.endswith("block_1_conv")]
    assert bits == pytest.approx(np.log2(42 * 256), abs=0.006)


def test_a_session_whose_sums_leave_float32_is_refused_by_layer_and_channel_or_exported_as_fp32(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tensors = canvas_tensors(CONFIG)
    fine = tensors["block.1.conv.weight"].integers.copy()
    fine[7] += 1 << 14
    library = canvas_library(FRAMES, tensors | {"block.1.conv.weight": Quantised(fine, -14)})
    with pytest.raises(VerificationError, match=r"layer canvases/block_1_conv, channel \d+: its sums reach 2\^2"):
        build_model(library, 0, ExportOptions(precision="exact"))
    with caplog.at_level("INFO", "pfnr"):
        _, contract = build_model(library, 0, ExportOptions())
    assert (contract.precision, contract.exactness) == ("fp32", None)
    assert "exactness cannot be proved: layer canvases/block_1_conv" in caplog.text


@pytest.mark.parametrize(
    ("block", "layer"),
    [
        (0, r"layer block_0_fourier computes Fourier transforms, whose cosines are no whole numbers"),
        (1, r"layer block_0_silu computes SiLU, whose exponential every engine approximates"),
    ],
)
@pytest.mark.parametrize("precision", ["exact", "exact-int8"])
def test_the_published_network_is_refused_by_its_first_inexact_layer(
    block: int, layer: str, precision: str
) -> None:
    library = made_library(replace(small_config(), fourier=FourierConfig(block)), 1)
    with pytest.raises(VerificationError, match=rf"{layer} .* Train .* \(preset canvas\), or export it as fp32"):
        build_model(library, 0, ExportOptions(precision=precision))


def test_the_published_network_is_fp32_by_default() -> None:
    assert build_model(made_library(small_config(), 1), 0, ExportOptions())[1].precision == "fp32"


def test_other_precisions_of_a_canvas_network_keep_their_budgets() -> None:
    library, _ = session_of(2)
    for precision in ("fp16", "int8", "int8-weights"):
        _, contract = build_model(library, 0, ExportOptions(precision=precision, psnr_budget=1.0))
        assert contract.precision_report["loss_worst"] <= 1.0
        assert contract.exactness is None


def verify(*arguments: object, blocked: str = "", cwd: Path) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys\nfor name in {blocked.split()!r}: sys.modules[name] = None\n"
        "from pfnr_export.commands.verify import app\napp()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_command_needs_the_artifact_alone_and_names_the_frame_that_is_wrong(tmp_path: Path) -> None:
    library, _ = session_of(0)
    path = tmp_path / "v.onnx"
    export_session(library, 0, path, ExportOptions())
    missing = "torch onnx polygraphy safetensors filelock"
    for given in ((), ("--exact",)):
        done = verify(path, *given, blocked=missing, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "the same bytes" in done.stdout
    model = onnx.load(path)
    [places] = [t for t in model.graph.initializer if t.name == "canvases/places/table"]
    moved = numpy_helper.to_array(places).copy()
    moved[3] += 1
    del model.metadata_props[[entry.key for entry in model.metadata_props].index(SEAL_KEY)]
    places.CopyFrom(numpy_helper.from_array(moved, places.name))
    path.write_bytes(seal(model.SerializeToString()))
    done = verify(path, "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"], report["different_frames"]) == (3, False, [3])
    assert "frame 3 is the first of 1 that differ" in done.stderr


def test_the_library_s_frames_must_be_equal_too(tmp_path: Path) -> None:
    library, _ = session_of(0)
    write_library(library, tmp_path / "library.pfnr")
    export_session(library, 0, tmp_path / "v.pfnv", ExportOptions())
    done = verify(tmp_path / "v.pfnv", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (report["passed"], report["differing_samples"], report["rule"]["max_step"]) == (True, 0, 0)


def test_other_precisions_and_other_sources_of_proof_are_refused_with_exact(tmp_path: Path) -> None:
    library, _ = session_of(0)
    path = tmp_path / "v.onnx"
    export_session(library, 0, path, ExportOptions(precision="fp32"))
    done = verify(path, "--exact", cwd=tmp_path)
    assert (done.returncode, "has no digest of its frames" in done.stderr) == (2, True)
    for other in (("--library", "l.pfnr"), ("--max-step", "1"), ("--all",)):
        done = verify(path, "--exact", *other, cwd=tmp_path)
        assert (done.returncode, "needs the artifact alone" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"frames_sha256": "x"}, "is not a SHA-256"),
        ({"frame_checks": "abc"}, "not a byte for each frame"),
        ({"bits": {"a": 24.0}}, "from 0 to 24"),
        ({"bits": [1]}, "from 0 to 24"),
    ],
)
def test_a_proof_that_says_nonsense_is_refused(changed: dict[str, object], says: str) -> None:
    proof = Exactness("0" * 64, "00" * FRAMES, {"layer": 3.0})
    with pytest.raises(ValueError, match=says):
        replace(proof, **changed)  # type: ignore[arg-type]


def test_a_proof_belongs_to_an_exact_artifact_of_as_many_frames() -> None:
    library, _ = session_of(0)
    _, contract = build_model(library, 0, ExportOptions())
    with pytest.raises(ValueError, match="do not go together"):
        replace(contract, precision="fp32")
    with pytest.raises(ValueError, match="another number of frames"):
        replace(contract, exactness=Exactness("0" * 64, "00", {}))
    assert type(contract).from_json(json.loads(contract.to_text())) == contract


def test_a_budget_is_refused() -> None:
    with pytest.raises(UsageError, match="exact loses nothing"):
        ExportOptions(precision="exact", psnr_budget=0.1)


def test_the_panned_canvas_counts_its_two_products() -> None:
    tensors = canvas_tensors(CONFIG)
    canvas = tensors[PANNED].integers.copy()
    canvas.flat[0] = 1 << 13
    _, contract = build_model(canvas_library(2, tensors | {PANNED: Quantised(canvas, -4)}), 0, ExportOptions())
    assert contract.precision == "fp32"  # 2^13 steps and twice 6 bits of place are more than 24
