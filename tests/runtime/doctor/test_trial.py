"""The built-in artifact: our own exporter's, right on an engine that is right, and telling of one that is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pfnr_export.trial import make_trial, trial_library
from pfnr_runtime import doctor
from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.backends import onnxruntime_cpu
from pfnr_runtime.doctor import trial
from pfnr_runtime.doctor.trial import ARTIFACT, GOLDEN, try_engine
from pfnr_runtime.errors import BackendError
from pfnr_train.model.decode import decode_all

CPU = onnxruntime_cpu.BACKEND


def test_the_exporter_makes_the_very_bytes_that_are_shipped(tmp_path: Path) -> None:
    made, _ = make_trial(tmp_path)
    assert made.read_bytes() == ARTIFACT.read_bytes(), "run: python -m pfnr_export.trial"


def test_the_shipped_golden_file_is_what_pytorch_decodes() -> None:
    contract = open_artifact(ARTIFACT).contract
    golden, rule = read_golden(GOLDEN, contract), rule_for(contract)
    decoded = decode_all(trial_library().session_weights(0))
    assert len(golden.whole) == 3
    # Another processor may round another way: the rule for fp32, not the bytes, is what every machine holds.
    assert all(rule.compare(i, frame, decoded[i]) for i, frame in golden.whole.items())
    assert decoded.std() > 30, "pictures without contrast would prove nothing"


def test_both_files_are_small() -> None:
    assert ARTIFACT.stat().st_size + GOLDEN.stat().st_size < 80_000


def test_a_right_engine_is_right() -> None:
    found = try_engine(CPU)
    assert found.state == "right"
    assert found.report is not None
    assert found.report.passed
    assert "6 frames of 64×36" in found.text


def test_an_engine_that_decodes_wrongly_is_told_apart_from_one_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = onnxruntime_cpu.OnnxRuntimeCpu._decode_impl
    monkeypatch.setattr(onnxruntime_cpu.OnnxRuntimeCpu, "_decode_impl", lambda self, i: right(self, i) ^ 2)
    found = try_engine(CPU)
    assert found.state == "wrong"
    assert "frames break the rule" in found.text

    def fails(self: object, indices: object) -> None:
        raise BackendError("the device went away")

    monkeypatch.setattr(onnxruntime_cpu.OnnxRuntimeCpu, "_decode_impl", fails)
    assert try_engine(CPU) == trial.Trial(CPU.name, "failed", "the device went away")


def test_what_is_not_here_says_what_would_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = try_engine(CPU)
    assert found.state == "missing"
    assert "pip install 'pfnr[ort]'" in found.text


def test_both_files_are_parts_of_the_package() -> None:
    folder = Path(doctor.__file__).parent
    assert ARTIFACT.parent == GOLDEN.parent == folder
