"""Every kind of artifact compiles through the backend's own build code, by TensorRT-RTX, which needs no GPU."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from export.checks.test_tensorrt_rtx import KINDS
from helpers.libraries import made_library, small_config

from pfnr_export.emit import serialise
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime.artifact.lifted_graph import lift
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.backends.trt.api import TENSORRT_RTX, EngineLibrary, load_library
from pfnr_runtime.backends.trt.build import (
    BatchProfile,
    BuildOptions,
    batch_profiles,
    build_engine,
    most_rows,
    profile_for,
)
from pfnr_runtime.errors import BackendError, UsageError

TARGETS = ("SM86", "SM120")


@pytest.fixture(scope="module")
def library() -> EngineLibrary:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'pfnr[rtx]'")
    return load_library(TENSORRT_RTX)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_artifact_builds(library: EngineLibrary, kind: str) -> None:
    data = serialise(KINDS[kind](small_config()))
    lines: list[str] = []
    for options in (BuildOptions(targets=TARGETS), BuildOptions(max_batch=4, targets=TARGETS)):
        built = build_engine(library, data, kind, options, report=lines.append)
        assert len(built.data) > 1000
        assert built.seconds > 0
    assert len(lines) == 2
    assert "building an engine with TensorRT-RTX" in lines[0]


def test_a_shared_graph_builds_with_its_masks_taken_out(library: EngineLibrary, tmp_path: Path) -> None:
    export_shared(made_library(small_config(), 2, frames=3), [0, 1], tmp_path / "library.onnx", SharedOptions())
    graph = examine_artifact(tmp_path / "library.onnx")
    assert isinstance(graph, SharedFile)
    built = build_engine(library, lift(graph).model, "library.onnx", BuildOptions(max_batch=2, targets=TARGETS))
    assert len(built.data) > 1000


def test_a_graph_that_the_library_refuses_is_one_line(library: EngineLibrary) -> None:
    with pytest.raises(BackendError, match=r"bad\.onnx: TensorRT-RTX .* cannot read it") as caught:
        build_engine(library, b"no model at all", "bad.onnx", BuildOptions(targets=TARGETS))
    assert "\n" not in str(caught.value)


def test_unknown_targets_list_the_known_ones(library: EngineLibrary) -> None:
    data = serialise(KINDS["video fp32 matmul"](small_config()))
    with pytest.raises(UsageError, match=r"knows no SM87; choose .*SM86"):
        build_engine(library, data, "v.onnx", BuildOptions(targets=("SM87",)))


def test_a_build_can_be_interrupted(library: EngineLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C arrives in the thread that waits; the library is asked to stop, and does, at its next step."""
    from pfnr_runtime.backends.trt import build as module

    data = serialise(KINDS["video fp32 matmul"](small_config()))
    real_join, pressed, stopped = threading.Thread.join, [], []

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name == "pfnr-engine-build" and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        real_join(self, timeout)

    class Watched(module.BuildProgress):
        def step_complete(self, phase: str, step: int) -> bool:
            while not self.stop:
                time.sleep(0.001)
            stopped.append(super().step_complete(phase, step))
            return stopped[-1]

    monkeypatch.setattr(module, "BuildProgress", Watched)
    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        build_engine(library, data, "v.onnx", BuildOptions(targets=TARGETS))
    assert stopped
    assert not any(stopped)


@pytest.mark.parametrize("batch", [0, -1, 65])
def test_a_batch_outside_the_range_is_named(batch: int) -> None:
    with pytest.raises(UsageError, match=f"a batch of {batch} frames is outside 1 to 64"):
        BuildOptions(max_batch=batch)


def test_single_frames_have_a_profile_of_their_own() -> None:
    assert batch_profiles(1) == (BatchProfile(1, 1, 1),)
    profiles = batch_profiles(8)
    assert [profile_for(profiles, batch) for batch in (1, 2, 8)] == [0, 1, 1]
    with pytest.raises(ValueError, match="no profile runs 9 frames; the largest runs 8"):
        profile_for(profiles, 9)


def test_a_table_has_as_many_rows_as_a_tensor_can_hold() -> None:
    assert most_rows((512,)) == 1_000_000
    assert most_rows((16_128,)) * 16_128 <= 2**31 - 1


def test_the_log_advises_where_memory_is_used_up() -> None:
    from pfnr_runtime.backends.trt.api import EngineLog

    log: Any = EngineLog()
    assert log.reason() == "no reason given"
    log.add(False, "a\nwarning")
    assert log.reason() == "a warning"
    log.add(True, "Requested 5 bytes, OutOfMemory")
    assert "smaller batches" in log.reason()
