"""Canvas networks trained for bytes: killed and resumed, by two processes, and in bfloat16."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.canvas_sessions import canvas_library, small_canvas
from helpers.clips import write_lossless
from helpers.synthetic import moving_pattern
from helpers.trainings import log, start_pair, start_train, train

from pfnr_export.export_session import ExportOptions, build_model
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.values.coded import CodedValues

ADD = ("add", "clip.mkv", "--epochs", 6, "--batch", 2, "--threads", 1)
RATE = ("--rate", 1.0)
LIBRARY = "library.pfnr"
STATE = "library.pfnr.1.training"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to train in."""
    return beginning(tmp_path)


def beginning(folder: Path) -> Path:
    """A library of one small canvas session, and a clip of seven frames for a second."""
    write_library(canvas_library(3, config=small_canvas()), folder / LIBRARY)
    write_lossless(folder / "clip.mkv", moving_pattern(7, 80, 45))
    return folder


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> SecondSession:
    """What one process trains in float32."""
    folder = beginning(tmp_path_factory.mktemp("ordinary"))
    train(folder, *ADD, *RATE)
    return SecondSession.of(folder)


@dataclass(frozen=True)
class SecondSession:
    """What a training left: its quality in dB and its size in bytes."""

    psnr: float
    size: int

    @classmethod
    def of(cls, folder: Path) -> SecondSession:
        library = read_library(folder / LIBRARY)
        session = library.sessions[1]
        assert isinstance(session.values, CodedValues)
        assert session.record.psnr is not None
        build_model(library, 1, ExportOptions(precision="exact"))  # refuses what is not exact
        return cls(session.record.psnr, len(session.values.data))


def test_killed_and_resumed_it_ends_with_the_bytes_of_an_unbroken_run(folder: Path) -> None:
    add = (*ADD, "--target-size", "1.5KB")  # λ is steered, so that the state holds the steering too
    before = (folder / LIBRARY).read_bytes()
    train(folder, *add)
    unbroken = (folder / LIBRARY).read_bytes()
    (folder / LIBRARY).write_bytes(before)
    process = start_train(folder, *add, "--save-every", "0.02s")
    deadline = time.monotonic() + 60
    while not (folder / STATE).exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (folder / LIBRARY).read_bytes() == before
    train(folder, *add, "--resume")
    assert "resuming after step" in log(folder)
    assert (folder / LIBRARY).read_bytes() == unbroken


def test_two_processes_train_what_one_does_with_the_same_batch(folder: Path, ordinary: SecondSession) -> None:
    pair = start_pair(folder, *ADD, *RATE)
    for process in pair:
        process.join(100)
    assert [process.exitcode for process in pair] == [0, 0], log(folder, "log0") + log(folder, "log1")
    found = SecondSession.of(folder)
    assert found.psnr == pytest.approx(ordinary.psnr, abs=0.5)
    assert found.size == pytest.approx(ordinary.size, rel=0.05)


def test_bfloat16_trains_a_session_that_is_exact(folder: Path, ordinary: SecondSession) -> None:
    train(folder, *ADD, *RATE, "--precision", "bf16")
    assert SecondSession.of(folder).psnr == pytest.approx(ordinary.psnr, abs=1)
