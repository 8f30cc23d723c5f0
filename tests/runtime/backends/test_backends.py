"""Choosing a backend: visible, never silent, and a missing engine says what to install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_artifacts import contract, float_table_model, model_of, picture_table, save
from numpy.typing import NDArray
from onnx import helper

from pfnr_runtime import backends
from pfnr_runtime.artifact.open import ArtifactFile, open_artifact
from pfnr_runtime.backends import Selection, backend_kinds, open_backend
from pfnr_runtime.backends.base import Backend, BackendKind
from pfnr_runtime.backends.onnxruntime_cpu import BACKEND, OnnxRuntimeCpu
from pfnr_runtime.errors import BackendError, CancelledError, UsageError


class Stub(Backend):
    """A backend that gives whatever it is told to."""

    name = "stub"
    description = "a stub"

    def __init__(self, artifact: ArtifactFile, output: Any = None) -> None:
        super().__init__(artifact)
        self.output, self.closed = output, 0

    def _decode_impl(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        return self.output if self.output is not None else picture_table()[indices]

    def _close_impl(self) -> None:
        self.closed += 1


def broken(artifact: ArtifactFile, **options: Any) -> Backend:
    raise BackendError("the driver is too old")


def kind(name: str, preference: int, **changes: Any) -> BackendKind:
    values: dict[str, Any] = {"probe": lambda: None, "open": Stub, "extra": f"pfnr[{name}]"}
    return BackendKind(name=name, preference=preference, **{**values, **changes})


@pytest.fixture
def artifact(table_file: Path) -> ArtifactFile:
    return open_artifact(table_file)


def test_the_cpu_backend_states_all_that_matters(artifact: ArtifactFile) -> None:
    backend, selection = open_backend(artifact, "onnxruntime-cpu", threads=1)
    with backend:
        assert "1 thread, optimisation level all" in backend.description
        assert str(selection) == f"onnxruntime-cpu: {backend.description}"


def test_auto_takes_the_first_that_works_and_says_why_not_the_others(
    artifact: ArtifactFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (
        kind("absent", 1, probe=lambda: "no such library"),
        kind("broken", 2, open=broken),
        kind("works", 3),
        kind("later", 4),
    )
    monkeypatch.setattr(backends, "backend_kinds", lambda: kinds)
    _, selection = open_backend(artifact)
    assert selection == Selection(
        "works",
        "a stub",
        "auto",
        (
            ("absent", "no such library; install it with: pip install 'pfnr[absent]'"),
            ("broken", "the driver is too old"),
        ),
        ("broken",),
    )
    assert "not absent: no such library" in str(selection)
    assert "not broken: the driver is too old" in str(selection)


def test_every_day_one_line_says_what_runs_and_only_a_failure_has_another(
    artifact: ArtifactFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = kind("works", 3)
    monkeypatch.setattr(backends, "backend_kinds", lambda: (works,))
    assert open_backend(artifact)[1].text() == "decoding with works"
    absent = kind("absent", 1, probe=lambda: "no such library")
    monkeypatch.setattr(backends, "backend_kinds", lambda: (absent, works))
    selection = open_backend(artifact)[1]
    assert selection.text() == "decoding with works; run pfnr-doctor to see why other engines are unavailable"
    assert selection.text(verbose=True) == str(selection)
    monkeypatch.setattr(backends, "backend_kinds", lambda: (absent, kind("broken", 2, open=broken), works))
    assert open_backend(artifact)[1].text().splitlines() == [
        "decoding with works; run pfnr-doctor to see why other engines are unavailable",
        "  not broken: the driver is too old",
    ]


def test_no_engine_at_all_names_what_to_install(artifact: ArtifactFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "backend_kinds", lambda: (kind("ort", 1, probe=lambda: "not installed"),))
    with pytest.raises(BackendError, match=r"pip install 'pfnr\[ort\]'") as caught:
        open_backend(artifact)
    assert caught.value.exit_code == 4


def test_a_backend_asked_for_by_name_is_not_replaced(
    artifact: ArtifactFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "backend_kinds", lambda: (kind("broken", 1, open=broken), kind("works", 2)))
    with pytest.raises(BackendError, match="the driver is too old"):
        open_backend(artifact, "broken")


def test_unknown_names_and_options_list_the_known_ones(artifact: ArtifactFile) -> None:
    with pytest.raises(UsageError, match=r"'tpu'; choose auto, .*onnxruntime-cpu"):
        open_backend(artifact, "tpu")
    with pytest.raises(UsageError, match=r"option colour; there are .*optimisation, .*threads"):
        open_backend(artifact, colour="red")
    with pytest.raises(UsageError, match="0 threads is outside 1 to 1024"):
        open_backend(artifact, threads=0)
    with pytest.raises(UsageError, match="'fast' is none of none, basic, extended, all"):
        open_backend(artifact, optimisation="fast")


def test_every_backend_declares_itself() -> None:
    assert BACKEND in backend_kinds()
    assert all(k.extra.startswith("pfnr[") for k in backend_kinds())


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        (np.array([0.5]), ValueError),
        (np.array([[0]]), ValueError),
        (np.array([0], np.int32), ValueError),
        (np.array([12]), IndexError),
        (np.array([-1]), IndexError),
    ],
)
def test_indices_are_checked_before_an_engine_sees_them(
    artifact: ArtifactFile, indices: NDArray[Any], error: type[Exception]
) -> None:
    with OnnxRuntimeCpu(artifact) as backend, pytest.raises(error):
        backend.decode(indices)


def test_no_indices_give_no_frames(artifact: ArtifactFile) -> None:
    with OnnxRuntimeCpu(artifact) as backend:
        assert backend.decode(np.array([], np.int64)).shape == (0, 36, 64, 3)


def test_an_engine_that_breaks_its_promise_is_caught(artifact: ArtifactFile) -> None:
    with (
        Stub(artifact, np.zeros((1, 2, 2, 3), np.uint8)) as backend,
        pytest.raises(BackendError, match="promised"),
    ):
        backend.decode(np.array([0]))


def test_values_that_are_not_numbers_are_caught(tmp_path: Path) -> None:
    artifact = open_artifact(save(float_table_model(), tmp_path / "float.onnx"))
    output = np.full((1, 3, 36, 64), np.nan, np.float32)
    with Stub(artifact, output) as backend, pytest.raises(BackendError, match="not numbers"):
        backend.decode(np.array([0]))


def test_a_cancelled_decode_ends_so_and_no_other_one(conv_file: Path) -> None:
    with OnnxRuntimeCpu(open_artifact(conv_file), threads=1) as backend:
        expected = backend.decode(np.array([3]))
        backend.cancel()  # after the end of the decode it was meant for
        assert (backend.decode(np.array([3])) == expected).all()
        make = backend._run_options

        def cancelled_at_once() -> Any:
            options = make()
            backend._running = options
            backend.cancel()
            return options

        backend._run_options = cancelled_at_once
        with pytest.raises(CancelledError, match="frame 3 is not wanted"):
            backend.decode(np.array([3]))
        backend._run_options = make
        assert (backend.decode(np.array([3])) == expected).all()
    backend.cancel()


def test_closing_twice_frees_once(artifact: ArtifactFile) -> None:
    backend = Stub(artifact)
    with backend:
        pass
    backend.close()
    assert backend.closed == 1


def test_a_graph_the_engine_refuses_is_one_line(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "frame_index"], ["bytes"]),
        helper.make_node("Sigmoid", ["bytes"], ["frames"]),  # which has no bytes
    ]
    model = model_of(nodes, {"table": picture_table()}, contract())
    artifact = open_artifact(save(model, tmp_path / "bad.onnx"))
    with pytest.raises(BackendError, match=r"bad\.onnx: ONNX Runtime .* cannot load it") as caught:
        OnnxRuntimeCpu(artifact)
    assert "\n" not in str(caught.value)


def test_a_graph_that_fails_while_running_is_one_line(tmp_path: Path) -> None:
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"])
    model = model_of([node], {"table": picture_table()[:3]}, contract())
    artifact = open_artifact(save(model, tmp_path / "short.onnx"))
    with OnnxRuntimeCpu(artifact) as backend, pytest.raises(BackendError, match="failed at frame 5"):
        backend.decode(np.array([5]))
