"""Switching sessions by refit, on the stand-ins: right frames, every failure visible, no poisoned engine run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.libraries import made_library, small_config
from helpers.stand_in_device import StandInDevice
from helpers.stand_in_trt import FAULTS, StandInTensorRt

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.golden import make_golden, write_golden
from pfnr_runtime.artifact.lifted_graph import lift, with_constants
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.backends.trt.api import TENSORRT
from pfnr_runtime.backends.trt.backend import TensorRtBackend
from pfnr_runtime.errors import ArtifactError, BackendError, UsageError
from pfnr_train.model.decode import decode_all

ORDER = (0, 2, 1, 1, 0, 2)


def graph_of(path: Path) -> SharedFile:
    found = examine_artifact(path)
    assert isinstance(found, SharedFile)
    return found


def cpu_frames(path: Path) -> list[Any]:
    found = []
    for k in range(3):
        with VideoDecoder(path, session=k, backend="onnxruntime-cpu", threads=1) as decoder:
            found.append(decoder[:].data)
    return found


def open_refitting(graph: SharedFile, lines: list[str], max_batch: int = 1) -> TensorRtBackend:
    return TensorRtBackend(
        TENSORRT, graph.open_session(0), max_batch=max_batch, switching="refit", report=lines.append
    )


def add_golden_files(path: Path, sessions: tuple[int, ...] = (0, 1, 2)) -> None:
    library, graph = made_library(small_config(), 3, frames=4), graph_of(path)
    for k in sessions:
        frames = decode_all(library.session_weights(k))
        golden = make_golden(list(frames), graph.open_session(k).contract, 2)
        write_golden(golden, path.with_name(f"{path.stem}.{k}.golden"))


def test_inputs_become_constants_of_the_values_given(shared: Path) -> None:
    lifted = lift(graph_of(shared))
    arrays = {w.masked: np.full(w.shape, i, np.float32) for i, w in enumerate(lifted.weights)}
    before, after = (
        onnx.load_from_string(lifted.model),
        onnx.load_from_string(with_constants(lifted.model, arrays)),
    )
    onnx.checker.check_model(after, full_check=True)
    assert {v.name for v in before.graph.input} - {v.name for v in after.graph.input} == arrays.keys()
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in after.graph.initializer}
    assert all((stored[name] == array).all() for name, array in arrays.items())
    assert list(before.graph.node) == list(after.graph.node)


@pytest.mark.parametrize("max_batch", [1, 2])
@pytest.mark.parametrize("golden", [(), (0, 1, 2)], ids=["probed", "golden"])
def test_one_engine_is_refitted_from_session_to_session(
    trt: StandInTensorRt, shared: Path, max_batch: int, golden: tuple[int, ...]
) -> None:
    expected, graph, lines = cpu_frames(shared), graph_of(shared), []
    add_golden_files(shared, golden)
    with open_refitting(graph, lines, max_batch) as opened:
        refits = trt.refits
        assert refits >= 1, "already its first session came by a refit"
        for k in ORDER:
            opened.switch(graph.open_session(k))
            for _ in range(3):
                assert (opened.decode(np.arange(4)) == expected[k]).all()
        assert trt.refits == refits + len(ORDER)
        assert "sessions by refit" in opened.description
        assert opened.preferred_batch == max_batch
    # One engine to be refitted, and where no golden file speaks for it, one to hold it against.
    assert trt.builds == (1 if golden else 2)
    assert not any("no refit" in line for line in lines)
    with open_refitting(graph, lines, max_batch) as again:
        assert (again.decode(np.arange(4)) == expected[0]).all()
    assert trt.builds == (1 if golden else 2), "both are kept"


SEEN_AT_ONCE = ("constructor", "list")  # asked once, at the opening
FAILURES = [(fault, False) for fault in FAULTS if fault != "kept"]
FAILURES += [(fault, True) for fault, _ in FAILURES if fault not in SEEN_AT_ONCE]


@pytest.mark.parametrize(("fault", "late"), FAILURES)
def test_whichever_call_fails_sessions_go_on_by_inputs(
    trt: StandInTensorRt, shared: Path, fault: str, late: bool
) -> None:
    expected, graph, lines = cpu_frames(shared), graph_of(shared), []
    if late:
        with open_refitting(graph, lines):
            trt.refit_fault_from = trt.refits + 1
    trt.refit_fault = fault
    with open_refitting(graph, lines) as opened:
        for k in ORDER:
            opened.switch(graph.open_session(k))
            assert (opened.decode(np.arange(4)) == expected[k]).all()
        assert "sessions by inputs (refit given up: " in opened.description
    assert sum("no refit, sessions are switched by inputs" in line for line in lines) == 1


@pytest.mark.parametrize("golden", [(), (0,)], ids=["probed", "golden"])
def test_a_refit_that_keeps_old_values_is_found_at_its_first_use(
    trt: StandInTensorRt, shared: Path, golden: tuple[int, ...]
) -> None:
    expected, graph, lines = cpu_frames(shared), graph_of(shared), []
    add_golden_files(shared, golden)
    trt.refit_fault = "kept"
    with open_refitting(graph, lines) as opened:
        assert (opened.decode(np.arange(4)) == expected[0]).all()
        assert "refit given up" in opened.description
        opened.switch(graph.open_session(2))
        assert (opened.decode(np.arange(4)) == expected[2]).all()


def test_a_session_with_golden_frames_is_checked_after_every_refit(trt: StandInTensorRt, shared: Path) -> None:
    expected, graph, lines = cpu_frames(shared), graph_of(shared), []
    add_golden_files(shared, (1,))
    with open_refitting(graph, lines) as opened:
        trt.refit_fault, trt.refit_fault_from = "kept", 0
        opened.switch(graph.open_session(1))
        assert (opened.decode(np.arange(4)) == expected[1]).all()
        assert "frames break the rule" in opened.description


def test_a_damaged_golden_file_is_found_before_anything_changes(trt: StandInTensorRt, shared: Path) -> None:
    expected, graph = cpu_frames(shared), graph_of(shared)
    with open_refitting(graph, []) as opened:
        shared.with_name("library.1.golden").write_bytes(b"junk")
        with pytest.raises(ArtifactError, match=r"library\.1\.golden"):
            opened.switch(graph.open_session(1))
        assert (opened.decode(np.arange(4)) == expected[0]).all()


def test_a_library_without_refit_says_so(trt: StandInTensorRt, shared: Path) -> None:
    del trt.Refitter
    graph, lines = graph_of(shared), []
    with open_refitting(graph, lines) as opened:
        assert "has no refit" in opened.description
        assert (opened.decode(np.arange(4)) == cpu_frames(shared)[0]).all()


def test_a_device_that_fails_in_both_ways_ends_decoding(
    trt: StandInTensorRt, device: StandInDevice, shared: Path
) -> None:
    graph = graph_of(shared)
    with open_refitting(graph, []) as opened:
        device.fail_at = device.calls
        with pytest.raises(BackendError, match="illegal memory access"):
            opened.switch(graph.open_session(1))
        device.fail_at = None
        with pytest.raises(ValueError, match="closed"):
            opened.decode(np.array([0]))


def test_another_strategy_is_named(trt: StandInTensorRt, shared: Path) -> None:
    with pytest.raises(UsageError, match="switching 'masks' is none of inputs, refit"):
        TensorRtBackend(TENSORRT, graph_of(shared).open_session(0), switching="masks")
