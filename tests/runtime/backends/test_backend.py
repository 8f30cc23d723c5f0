"""The TensorRT backend from an artifact to frames, on stand-ins for the library and the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.libraries import made_library, made_record, small_config
from helpers.stand_in_device import StandInDevice
from helpers.stand_in_trt import StandInTensorRt
from helpers.tiny_artifacts import (
    between_frames,
    between_model,
    conv_model,
    float_table_model,
    picture_table,
    save,
    table_model,
)

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.backends.trt.api import TENSORRT, EngineLibrary
from pfnr_runtime.backends.trt.backend import TensorRtBackend
from pfnr_runtime.backends.trt.engine_cache import default_folder
from pfnr_runtime.errors import ArtifactError, BackendError
from pfnr_train.library.digests import weights_digest


def open_it(
    path: Path, lines: list[str] | None = None, session: int | None = None, **options: Any
) -> TensorRtBackend:
    told = [] if lines is None else lines
    return TensorRtBackend(TENSORRT, open_artifact(path, session), report=told.append, **options)


def cpu_frames(path: Path, session: int | None = None) -> Any:
    with VideoDecoder(path, session=session, backend="onnxruntime-cpu", threads=1) as decoder:
        return decoder[:].data


@pytest.mark.parametrize("max_batch", [1, 3])
@pytest.mark.parametrize("model", [table_model, float_table_model, conv_model, between_model])
def test_frames_are_right_in_any_order(trt: StandInTensorRt, tmp_path: Path, model: Any, max_batch: int) -> None:
    path = save(model(), tmp_path / "v.onnx")
    expected = cpu_frames(path)
    with open_it(path, max_batch=max_batch) as opened:
        for wanted in (np.arange(12), np.arange(12)[::-1], np.array([7]), np.array([3, 3, 9, 0])):
            assert (opened.decode(np.ascontiguousarray(wanted)) == expected[wanted]).all()
        parts = [np.array([i, 11 - i]) for i in range(6)]
        for part, frames in zip(parts, opened.decode_batches(parts), strict=True):
            assert (frames == expected[part]).all()
        assert opened.preferred_batch == max_batch
        assert len(opened.decode(np.array([], np.int64))) == 0
        with pytest.raises(IndexError):
            opened.decode(np.array([12]))


def test_a_decode_is_timed_in_stages_and_its_frames_are_given_back(trt: StandInTensorRt, tmp_path: Path) -> None:
    with open_it(save(table_model(), tmp_path / "v.onnx")) as opened:
        for _ in range(3):
            stages = opened.decode_in_stages(np.array([5]))
            assert stages.compute > 0
            assert stages.copy >= 0
        assert (opened.decode(np.array([5])) == picture_table()[5]).all()


@pytest.mark.parametrize("max_batch", [1, 3])
def test_pictures_between_frames_are_right(trt: StandInTensorRt, tmp_path: Path, max_batch: int) -> None:
    path = save(between_model(), tmp_path / "v.onnx")
    places = np.array([0.5, 3.25, 11.0, 7.75])
    with open_it(path, max_batch=max_batch) as opened:
        found = opened.decode(places)
        assert np.abs(found.astype(int) - between_frames(places.tolist())).max() <= 1
        (again,) = opened.decode_batches([places])
        assert (again == found).all()
        with opened.decode_on_device(places[:1]) as lent:
            trt.device.synchronise()
            assert (trt.device.memory[lent.address][: found[0].size] == found[0].reshape(-1)).all()
        with pytest.raises(IndexError, match="outside 0 to 11"):
            opened.decode(np.array([11.5]))


def test_an_engine_is_built_once_and_kept(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = save(table_model(), tmp_path / "v.onnx")
    lines: list[str] = []
    for _ in range(3):
        open_it(path, lines).close()
    assert trt.builds == 1
    assert trt.flags_cleared == ["TF32"]
    assert "building an engine with TensorRT 10.0.stand-in" in lines[0]
    assert "built in" in lines[1]
    assert len(lines) == 2
    open_it(path, tf32=True).close()
    open_it(path, max_batch=2).close()
    assert trt.builds == 3
    assert trt.flags_cleared == ["TF32", "TF32"]
    assert trt.timing_given == [b"", b"measurements", b"measurements"], "the builder's measurements are kept"


def test_what_runs_is_told(trt: StandInTensorRt, tmp_path: Path) -> None:
    with open_it(save(table_model(), tmp_path / "v.onnx")) as opened:
        assert opened.description.startswith(
            "TensorRT 10.0.stand-in on stand-in (compute capability 0.0, CUDA 0.0)"
        )
        assert "no TF32, batch 1, one CUDA graph per step" in opened.description
    with open_it(tmp_path / "v.onnx", cuda_graph=False) as opened:
        assert "no CUDA graph: switched off" in opened.description


def test_a_fallback_from_graphs_shows(trt: StandInTensorRt, device: StandInDevice, tmp_path: Path) -> None:
    device.graphs_allowed = False
    with open_it(save(table_model(), tmp_path / "v.onnx")) as opened:
        assert (opened.decode(np.arange(5)) == picture_table()[:5]).all()
        assert "no CUDA graph: CUDA: operation not permitted" in opened.description


def test_a_damaged_engine_is_built_again(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = save(table_model(), tmp_path / "v.onnx")
    open_it(path).close()
    (kept,) = default_folder().glob("*.engine")
    kept.write_bytes(kept.read_bytes()[:-7])
    with open_it(path) as opened:
        assert (opened.decode(np.arange(12)) == picture_table()).all()
    assert trt.builds == 2


def test_an_engine_that_the_library_no_longer_loads_is_built_again(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = save(table_model(), tmp_path / "v.onnx")
    open_it(path).close()
    from pfnr_runtime.backends.trt import obtain

    real, seen = obtain.deserialise, []

    def once(library: EngineLibrary, data: bytes) -> Any:
        seen.append(data)
        return None if len(seen) == 1 else real(library, data)

    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(obtain, "deserialise", once)
        open_it(path, lines).close()
    assert trt.builds == 2
    assert "no longer loads the cached engine" in lines[0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"refuse_build": True},
            r"cannot build an engine: no kernel fits OutOfMemory; the GPU is out of memory",
        ),
        ({"refuse_engine": True}, r"cannot load what it built: the engine plan is not compatible"),
        ({"refuse_context": True}, r"cannot set the engine up"),
        ({"refuse_run": True}, r"cannot run the engine"),
        ({"types": ["Half"]}, r"computes in float16, which the graph does not"),
        ({"types": []}, r"names no number types"),
    ],
)
def test_what_the_library_refuses_is_one_line_and_nothing_stays(
    trt: StandInTensorRt, device: StandInDevice, tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    path = save(conv_model(), tmp_path / "v.onnx")
    for name, value in fault.items():
        setattr(trt, name, value)
    with pytest.raises(BackendError, match=message) as caught:
        open_it(path)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert not device.alive
    if not {"refuse_context", "refuse_run"} & fault.keys():
        assert not list(default_folder().glob("*.engine")), "a refused engine is not kept"


def test_an_engine_in_other_types_is_refused_from_the_cache_too(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path / "v.onnx")
    open_it(path).close()
    trt.types = ["Half"]
    with pytest.raises(BackendError, match="float16"):
        open_it(path)


def test_frames_can_stay_on_the_device(trt: StandInTensorRt, device: StandInDevice, tmp_path: Path) -> None:
    with open_it(save(table_model(), tmp_path / "v.onnx"), max_batch=2) as opened:
        with opened.decode_on_device(np.array([4, 9])) as frames:
            device.synchronise()
            held = device.memory[frames.address].reshape(2, 36, 64, 3)
            assert (held == picture_table()[[4, 9]]).all()
            assert (opened.decode(np.array([1])) == picture_table()[[1]]).all()
        with pytest.raises(IndexError):
            opened.decode_on_device(np.array([12]))


@pytest.mark.parametrize("max_batch", [1, 2])
def test_sessions_of_a_shared_graph_switch_in_one_engine(
    trt: StandInTensorRt, shared: Path, max_batch: int
) -> None:
    graph = open_artifact(shared, 0).graph
    assert graph is not None
    expected = [cpu_frames(shared, k) for k in range(3)]
    opened = TensorRtBackend(TENSORRT, graph.open_session(0), max_batch=max_batch, report=lambda line: None)
    with opened:
        for k in (0, 2, 1, 1, 0):
            opened.switch(graph.open_session(k))
            for _ in range(3):
                assert (opened.decode(np.arange(4)) == expected[k]).all()
    assert trt.builds == 1


def test_a_switch_that_fails_half_way_ends_decoding(
    trt: StandInTensorRt, device: StandInDevice, shared: Path
) -> None:
    graph = open_artifact(shared, 0).graph
    assert graph is not None
    with TensorRtBackend(TENSORRT, graph.open_session(0), report=lambda line: None) as opened:
        device.fail_at = device.calls + 5
        with pytest.raises(BackendError, match="illegal memory access"):
            opened.switch(graph.open_session(1))
        device.fail_at = None
        with pytest.raises(BackendError, match="switching to another session failed"):
            opened.decode(np.array([0]))


def test_a_longer_video_gets_a_larger_table(trt: StandInTensorRt, tmp_path: Path) -> None:
    """Videos of one library differ in length: the table grows on the device, and goes with the backend."""
    config = small_config()
    library = made_library(config, 1, frames=2)
    longer = made_record(config, 1, frames=9)
    first = library.sessions[0]
    library = replace(library, sessions=(first, replace(first, record=replace(longer, scalar=0.25))))
    digest = weights_digest(library.assemble(1))
    second = library.sessions[1]
    library = replace(
        library, sessions=(first, replace(second, record=replace(second.record, weights_sha256=digest)))
    )
    export_shared(library, [0, 1], tmp_path / "library.onnx", SharedOptions())
    graph = open_artifact(tmp_path / "library.onnx", 0).graph
    assert graph is not None
    expected = [cpu_frames(tmp_path / "library.onnx", k) for k in range(2)]
    with TensorRtBackend(TENSORRT, graph.open_session(0), report=lambda line: None) as opened:
        for k in (1, 0, 1):
            opened.switch(graph.open_session(k))
            assert (opened.decode(np.arange(len(expected[k]))) == expected[k]).all()


def golden_artifact(folder: Path, index: int = 0) -> Path:
    path = folder / f"v{index}.onnx"
    export_session(made_library(small_config(), 2), index, path, ExportOptions(), golden_frames=3)
    return path


def test_a_fresh_engine_is_proved_by_the_golden_frames_beside_it(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = golden_artifact(tmp_path)
    lines: list[str] = []
    open_it(path, lines, max_batch=2).close()
    assert "3 golden frames within the rule" in lines[-1]


def test_an_engine_with_other_frames_is_refused_and_not_kept(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = golden_artifact(tmp_path)
    trt.spoil = 3
    with pytest.raises(BackendError, match=r"not used: .* frames break the rule"):
        open_it(path)
    assert not list(default_folder().glob("*.engine"))
    trt.spoil = 0
    open_it(path).close()


def test_a_damaged_golden_file_is_named(trt: StandInTensorRt, tmp_path: Path) -> None:
    path = golden_artifact(tmp_path)
    path.with_suffix(".golden").write_bytes(b"junk")
    with pytest.raises(ArtifactError, match=r"v0\.golden"):
        open_it(path)
    assert trt.builds == 0, "found before the build, not after minutes"
