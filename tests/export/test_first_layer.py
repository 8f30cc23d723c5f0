"""An engine that goes wrong: the first layer that differs is named, or why it cannot be; nothing stays silent."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.canvas_sessions import canvas_library
from onnx import numpy_helper

from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.precisions import PRECISIONS
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.exactness import FramesDigest
from pfnr_runtime.artifact.onnx.file import summarise_bytes
from pfnr_runtime.artifact.onnx.seal import SEAL_KEY, seal
from pfnr_runtime.backends import onnxruntime_cpu
from pfnr_runtime.backends.base import Backend
from pfnr_runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from pfnr_runtime.backends.onnxruntime_session import load_session
from pfnr_runtime.proof.exact_check import ExactReport, check_exact
from pfnr_runtime.proof.reference.graph import NotComputable, evaluate

FRAMES = 3


def options(precision: str, output: str = "uint8") -> ExportOptions:
    return ExportOptions(
        precision=precision, output=output, psnr_budget=20.0 if PRECISIONS[precision].budget else None
    )


@cache
def exported(precision: str, output: str = "uint8") -> bytes:
    model, _ = build_model(canvas_library(FRAMES), 0, options(precision, output))
    return seal(model.SerializeToString(deterministic=True))


def with_wrong_weight(model: bytes, name: str) -> bytes:
    """The same model with a stored tensor moved by half of its largest value."""
    proto = onnx.load_from_string(model)
    [tensor] = [t for t in proto.graph.initializer if t.name == name]
    values = numpy_helper.to_array(tensor).copy()
    values += np.abs(values).max() / 2
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return proto.SerializeToString()


def checked(precision: str, folder: Path, output: str = "uint8") -> ExactReport:
    path = folder / "v.onnx"
    path.write_bytes(exported(precision, output))
    with VideoDecoder(path, backend="onnxruntime-cpu", threads=1) as decoder:
        return check_exact(decoder)


@pytest.mark.parametrize("precision", ["exact", "exact-int8"])
def test_the_graph_in_numpy_gives_the_digest(precision: str) -> None:
    model = exported(precision)
    summary = summarise_bytes(model, Path("v.onnx"))
    digest = FramesDigest()
    for frame in range(FRAMES):
        *_, (_, pictures) = evaluate(model, summary, frame)
        digest.add_all(pictures.astype(np.uint8))
    _, contract = build_model(canvas_library(FRAMES), 0, options(precision))
    assert contract.exactness is not None
    assert digest.sha256 == contract.exactness.frames_sha256


@pytest.mark.parametrize(
    ("precision", "weight", "layer", "output"),
    [
        ("exact", "canvases/latents/weight", "canvases/latents", "uint8"),
        ("exact", "canvases/window/canvas", "canvases/window", "uint8"),
        ("exact", "block_2_conv/weight", "block_2_conv", "uint8"),
        ("exact", "block_2_conv/weight", "block_2_conv", "float32"),
        ("exact-int8", "block_2_conv/weight", "block_2_conv", "uint8"),
        ("exact-int8", "head/bias", "head", "uint8"),
    ],
)
def test_a_wrong_layer_is_named(
    precision: str, weight: str, layer: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_wrongly(model: str | bytes, *others: Any) -> Any:
        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        return load_session(with_wrong_weight(data, weight), *others)

    monkeypatch.setattr(onnxruntime_cpu, "load_session", load_wrongly)
    report = checked(precision, tmp_path, output)
    assert not report.passed
    assert report.where is not None
    assert report.where.layer == layer
    assert 0 < report.where.differing <= report.where.values
    [problem] = report.problems
    assert f"the first layer that differs there is {layer} (" in problem
    assert report.to_json()["first_layer"]["layer"] == layer


def test_an_engine_that_gives_no_layers_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntimeCpu, "_decode_impl", wrong_pixels)
    monkeypatch.setattr(OnnxRuntimeCpu, "_value_impl", Backend._value_impl)
    [problem] = checked("exact", tmp_path).problems
    assert "cannot be told: onnxruntime-cpu does not give the values of layers" in problem


def test_an_engine_whose_layers_are_right_alone_is_said_to_go_wrong_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntimeCpu, "_decode_impl", wrong_pixels)
    [problem] = checked("exact-int8", tmp_path).problems
    assert "it goes wrong in the pixels or where it fuses layers" in problem


right_pixels = OnnxRuntimeCpu._decode_impl


def wrong_pixels(self: OnnxRuntimeCpu, inputs: np.ndarray) -> np.ndarray:
    return right_pixels(self, inputs) ^ 1


def test_an_engine_that_fails_at_a_layer_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any, *others: Any) -> Any:
        raise RuntimeError("no such kernel")

    def load(model: str | bytes, *others: Any) -> Any:
        session = load_session(model, *others)
        return SimpleNamespace(run=fail) if isinstance(model, bytes) else session

    monkeypatch.setattr(OnnxRuntimeCpu, "_decode_impl", wrong_pixels)
    monkeypatch.setattr(onnxruntime_cpu, "load_session", load)
    [problem] = checked("exact", tmp_path).problems
    assert "which layer differs cannot be told" in problem
    assert "no such kernel" in problem


def test_a_file_whose_graph_is_wrong_is_not_blamed_on_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "v.onnx"
    export_session(canvas_library(FRAMES), 0, path, ExportOptions())
    proto = onnx.load_from_string(with_wrong_weight(path.read_bytes(), "head/bias"))
    del proto.metadata_props[[entry.key for entry in proto.metadata_props].index(SEAL_KEY)]
    path.write_bytes(seal(proto.SerializeToString()))
    with VideoDecoder(path, threads=1) as decoder:
        report = check_exact(decoder)
    assert "the file's own graph does not give that frame" in report.problems[0]


def test_operators_of_no_exact_graph_are_not_evaluated() -> None:
    proto = onnx.load_from_string(exported("exact"))
    next(node for node in proto.graph.node if node.op_type == "Abs").op_type = "Exp"
    model = proto.SerializeToString()
    with pytest.raises(NotComputable, match="the operator Exp"):
        list(evaluate(model, summarise_bytes(model, Path("v.onnx")), 0))
