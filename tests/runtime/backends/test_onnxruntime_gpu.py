"""The ONNX Runtime backends for GPUs, as far as a machine without one goes: bound memory, checks, reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_artifacts import FRAMES, contract, model_of, picture_table, save

from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.backends import backend_kinds, onnxruntime_cuda, open_backend
from pfnr_runtime.backends.device.cuda import driver_missing
from pfnr_runtime.backends.onnxruntime_cuda import OnnxRuntimeCuda, cuda_options
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError, UsageError

TABLE = picture_table()


class BoundCpu(OnnxRuntimeCuda):
    """The CUDA backend's own code with ONNX Runtime's CPU provider and CPU memory in place of CUDA's."""

    name = "bound-cpu"
    provider = "CPUExecutionProvider"
    title = "the CPU"
    device = "cpu"

    def providers(self, tf32: bool) -> list[Any]:
        return [self.provider]


@pytest.mark.parametrize("kind", ["table_file", "float_file"])
def test_bound_memory_gives_the_right_frames(kind: str, request: pytest.FixtureRequest) -> None:
    with BoundCpu(open_artifact(request.getfixturevalue(kind))) as backend:
        for batch in ([0], [3, 1], list(range(FRAMES)), [5], [5, 6, 7], [8, 9, 10, 11, 1], [2, 2], [0]):
            assert (backend.decode(np.array(batch, np.int64)) == TABLE[batch]).all()


def test_frames_are_the_callers_own(table_file: Path) -> None:
    with BoundCpu(open_artifact(table_file)) as backend:
        first = backend.decode(np.array([1, 2]))
        backend.decode(np.array([3, 4]))
        assert (first == TABLE[[1, 2]]).all()


def test_computing_and_copying_out_are_told_apart(table_file: Path) -> None:
    with BoundCpu(open_artifact(table_file)) as backend:
        stages = backend.decode_in_stages(np.array([1, 2]))
        assert stages.compute > 0
        assert stages.copy > 0


def test_bound_memory_gives_the_bytes_of_the_cpu_backend(conv_file: Path) -> None:
    with BoundCpu(open_artifact(conv_file)) as bound, VideoDecoder(conv_file, backend="onnxruntime-cpu") as plain:
        assert (bound.decode(np.arange(FRAMES)) == plain[:].data).all()


def test_a_provider_that_did_not_come_up_is_an_error_and_no_silent_cpu(table_file: Path) -> None:
    class Missing(BoundCpu):
        provider = "CUDAExecutionProvider"

        def providers(self, tf32: bool) -> list[Any]:
            return ["CPUExecutionProvider"]

    with pytest.raises(BackendError, match="would run on CPUExecutionProvider") as caught:
        Missing(open_artifact(table_file))
    assert caught.value.exit_code == 4


def test_a_graph_that_cannot_run_is_found_at_opening(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Add", ["frame_index", "far"], ["beyond"]),
        helper.make_node("Gather", ["table", "beyond"], ["frames"]),
    ]
    model = model_of(nodes, {"table": TABLE, "far": np.array(1000, np.int64)}, contract())
    artifact = open_artifact(save(model, tmp_path / "wrong.onnx"))
    with pytest.raises(BackendError, match=r"wrong\.onnx"):
        BoundCpu(artifact)


def test_tf32_is_off_unless_asked_for() -> None:
    assert cuda_options(tf32=False)["use_tf32"] == "0"
    assert cuda_options(tf32=True)["use_tf32"] == "1"
    assert cuda_options(tf32=False)["cudnn_conv_algo_search"] == "HEURISTIC"


def test_auto_goes_from_tensorrt_over_cuda_to_the_cpu() -> None:
    names = [kind.name for kind in backend_kinds()]
    assert names == ["tensorrt", "tensorrt-rtx", "onnxruntime-cuda", "onnxruntime-cpu"]


@pytest.mark.skipif(driver_missing() is None, reason="this machine has an NVIDIA driver, so other reasons")
def test_every_backend_that_is_passed_over_says_why(table_file: Path) -> None:
    with VideoDecoder(table_file) as decoder:
        told = str(decoder.backend).splitlines()
        assert told[0].startswith("onnxruntime-cpu: ONNX Runtime ")
        names = [line.split(":")[0].strip() for line in told[1:]]
        assert names == ["not tensorrt", "not tensorrt-rtx", "not onnxruntime-cuda"]
        assert all(len(line) > 30 for line in told)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("onnxruntime-cuda", "ort-gpu"),
        ("tensorrt", "tensorrt"),
        ("tensorrt-rtx", "rtx"),
    ],
)
def test_a_missing_engine_asked_for_by_name_names_its_extra(
    table_file: Path, name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=rf"pip install 'pfnr\[{extra}\]'") as caught:
        open_backend(open_artifact(table_file), name)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_machine_without_a_driver_is_not_told_to_install_packages(
    table_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [onnxruntime_cuda.PROVIDER])
    monkeypatch.setattr("ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    with pytest.raises(BackendError, match=r"no NVIDIA driver \(libcuda.so.1\)") as caught:
        open_backend(open_artifact(table_file), onnxruntime_cuda.BACKEND.name)
    assert "pip install" not in str(caught.value)


def test_options_of_another_backend_are_refused_by_name_but_for_mere_advice(table_file: Path) -> None:
    with pytest.raises(BackendError, match="it has no option cuda_graph"):
        VideoDecoder(table_file, backend="onnxruntime-cpu", cuda_graph=False)
    with pytest.raises(UsageError, match=r"no backend has an option batch; there are .*max_batch"):
        VideoDecoder(table_file, batch=4)
    with VideoDecoder(table_file, backend="onnxruntime-cpu", max_batch=4, threads=1) as decoder:
        assert "1 thread" in decoder.backend.description


def test_threads_rule_no_gpu_backend_out(table_file: Path) -> None:
    with VideoDecoder(table_file, threads=1) as decoder:
        assert "option" not in str(decoder.backend)
