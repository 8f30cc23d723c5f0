"""The emitted ONNX: what it computes, what it is made of, and that it is the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.libraries import COMBINES, fourier_config, made_library, small_config
from helpers.networks import networks
from hypothesis import given, settings
from numpy.typing import NDArray

from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.materialise import materialise
from pfnr_export.passes import run_passes
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.errors import UsageError
from pfnr_train.library.library import Library
from pfnr_train.model.config import ModelConfig, preset_config
from pfnr_train.model.network import MaskedSession, to_uint8

BATCH = np.array([3, 0, 1, 1, 2])
OPERATORS = {
    "Add", "Cast", "Clip", "Concat", "Conv", "DepthToSpace", "Gather", "Gemm", "MatMul", "Mul", "Relu", "Reshape",
    "Round", "Sigmoid", "Tanh", "Transpose",
}  # fmt: skip


def run_model(model: onnx.ModelProto, indices: NDArray[np.int64]) -> NDArray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"frame_index": indices})[0]


def decoder_frames(library: Library) -> torch.Tensor:
    decoder, _ = run_passes(materialise(library.session_weights(1), LOWERINGS["matmul"]))
    return decoder(torch.from_numpy(BATCH))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(config=networks())
def test_onnx_runtime_gives_the_decoders_frames(config: ModelConfig) -> None:
    library = made_library(config)
    expected = decoder_frames(library)
    model, _ = build_model(library, 1, ExportOptions("matmul", output="float32"))
    frames = run_model(model, BATCH)
    assert (frames.dtype, frames.shape) == (np.float32, tuple(expected.shape))
    np.testing.assert_allclose(frames, expected.numpy(), atol=1e-6, rtol=0)
    model, _ = build_model(library, 1, ExportOptions("matmul"))
    pixels, scaled = run_model(model, BATCH), 255 * expected.double().permute(0, 2, 3, 1).numpy()
    assert (pixels.dtype, pixels.shape) == (np.uint8, scaled.shape)
    # Rounded to the nearest step; a sample on the very edge between two may fall either way.
    assert np.abs(pixels - scaled).max() <= 0.5 + 1e-3


@settings(max_examples=15, deadline=None, derandomize=True)
@given(config=networks())
def test_a_batch_of_three_is_three_batches_of_one_to_the_byte(config: ModelConfig) -> None:
    model, _ = build_model(made_library(config), 0, ExportOptions())
    together = run_model(model, np.array([2, 0, 3]))
    one_by_one = np.concatenate([run_model(model, np.array([i])) for i in (2, 0, 3)])
    assert np.array_equal(together, one_by_one)


@pytest.mark.parametrize("output", ["uint8", "float32"])
@pytest.mark.parametrize("combine", COMBINES)
def test_the_graph_is_sound_and_made_of_the_promised_parts_only(combine: str, output: str) -> None:
    for bias, activation in ((False, "tanh"), (True, "sigmoid")):
        config = small_config(combine, bias=bias, output=activation)
        model, contract = build_model(made_library(config), 1, ExportOptions("matmul", output=output))
        onnx.checker.check_model(model, full_check=True)
        assert {node.op_type for node in model.graph.node} <= OPERATORS
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
        assert not any(t.external_data or t.data_location for t in model.graph.initializer)
        assert all(len(t.raw_data) for t in model.graph.initializer)
        assert all(
            any(a.name == "kernel_shape" for a in n.attribute) for n in model.graph.node if n.op_type == "Conv"
        )
        names = [node.name for node in model.graph.node]
        assert len(set(names)) == len(names)
        if output == "uint8":
            tail = [node.op_type for node in model.graph.node[-5:]]
            assert tail[-1] == "Cast"
            assert {"Transpose", "Clip", "Round"} & set(tail)
        assert contract.lowering == ("none" if combine == "none" else "matmul")


def test_nodes_and_tensors_have_stable_names() -> None:
    config = small_config("add", fourier=fourier_config("add", 0), bias=True)
    model, _ = build_model(made_library(config), 1, ExportOptions("matmul"))
    assert [t.name for t in model.graph.initializer if "scalar" not in t.name and "shape/" not in t.name] == [
        "stem_1_table/table",
        "block_0_branches/block_0_conv/weight",
        "block_0_branches/block_0_conv/bias",
        "block_0_branches/block_0_fourier/columns_in",
        "block_0_branches/block_0_fourier/rows_in",
        "block_0_branches/block_0_fourier/weight",
        "block_0_branches/block_0_fourier/rows_out",
        "block_0_branches/block_0_fourier/columns_out",
        "block_1_conv/weight",
        "block_1_conv/bias",
        "head/weight",
        "head/bias",
    ]
    assert model.graph.input[0].name == "frame_index"
    assert model.graph.output[0].name == "frames"


@pytest.mark.parametrize("combine", COMBINES)
def test_two_exports_are_the_same_bytes_and_one_file(combine: str, tmp_path: Path) -> None:
    for k, options in enumerate((ExportOptions(), ExportOptions(output="float32"))):
        library = made_library(small_config(combine))
        paths = [tmp_path / f"{k}-{i}.onnx" for i in range(2)]
        done = [export_session(library, 1, path, options) for path in paths]
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert done[0].file_bytes == paths[0].stat().st_size
        opened = open_artifact(paths[0])
        assert opened.contract == done[0].contract
        assert opened.contract.video == library.sessions[1].record.video
    assert len(list(tmp_path.iterdir())) == 4


def test_the_file_is_its_weights_and_at_most_a_hundredth_more(tmp_path: Path) -> None:
    library = made_library(preset_config("tiny", 320, 180), 1, frames=32)
    done = export_session(library, 0, tmp_path / "v.onnx", ExportOptions())
    assert done.file_bytes <= 1.01 * done.weight_bytes
    model = onnx.load(tmp_path / "v.onnx")
    assert sum(t.ByteSize() for t in model.graph.initializer) <= done.file_bytes
    reference = to_uint8(MaskedSession(library.session_weights(0))(torch.tensor([0, 31])))
    difference = np.abs(run_model(model, np.array([0, 31])).astype(int) - reference)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 0.0002 * difference.size


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fourier": "fft"}, "lowering 'fft' is none of auto, matmul"),
        ({"precision": "fp1"}, "precision 'fp1' is none of auto, exact, fp32"),
        ({"output": "rgb"}, "output 'rgb' is none of uint8, float32"),
    ],
)
def test_unknown_options_list_the_known_ones(options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ExportOptions(**options)


def test_an_export_says_where_decoders_would_refuse_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("PFNR_MAX_MEMORY", "0.0001")
    library = made_library(preset_config("tiny", 64, 36), 1, 2)
    export_session(library, 0, tmp_path / "v.onnx", ExportOptions())
    assert "has to raise a limit" in caplog.text
