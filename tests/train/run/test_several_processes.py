"""Two processes that train one session together: the same masks, the same quality as one, and clean ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips import write_lossless
from helpers.libraries import made_library, small_config
from helpers.synthetic import moving_pattern
from helpers.trainings import log, start_pair, train

from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.machine.ranks import Ranks

# Seven frames: the last batch of an epoch has three, which two processes share as two and one.
ADD = ("add", "clip.mkv", "--epochs", 30, "--batch", 4, "--threads", 1, "--density", 0.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a library of two sessions and a clip for a third."""
    write_library(made_library(small_config("add"), 2), tmp_path / "library.pfnr")
    write_lossless(tmp_path / "clip.mkv", moving_pattern(7, 20, 12))
    return tmp_path


def codes(pair: list[BaseProcess]) -> list[int | None]:
    for process in pair:
        process.join(60)
    ended = [process.exitcode for process in pair]
    for process in pair:
        process.kill()
    return ended


def parts(library: Library) -> dict[str, np.ndarray]:
    """Everything the third session decodes with."""
    weights = library.session_weights(2)
    found = {f"mask {n}": m.numpy() for n, m in weights.masks.items()}
    found |= {f"weight {n}": w.numpy() for n, w in weights.materialised().items()}
    return found | {f"head {n}": h.numpy() for n, h in weights.head.items()}


# Sums in another order move the last bits, and with them scores that lie at the threshold. SOAP's bases turn
# such a difference into a larger one within a few steps, Adam does not.
@pytest.mark.parametrize(("recipe", "moved"), [("paper", 0.01), ("default", 0.1)])
def test_two_processes_train_what_one_does_with_the_same_batch(recipe: str, moved: float, folder: Path) -> None:
    before = (folder / "library.pfnr").read_bytes()
    train(folder, *ADD, "--recipe", recipe)
    alone = read_library(folder / "library.pfnr")
    (folder / "library.pfnr").write_bytes(before)
    old = read_library(folder / "library.pfnr")
    pair = start_pair(folder, *ADD, "--recipe", recipe)
    assert codes(pair) == [0, 0], log(folder, "log0") + log(folder, "log1")
    together = read_library(folder / "library.pfnr")
    assert re.search(r"^session 2 \(clip\): 7 frames, PSNR", log(folder, "log0"), re.MULTILINE)
    assert log(folder, "log1") == ""  # only one of them talks and writes
    for name, used in old.used().items():  # freezing intact, to the bit
        assert together.weights[name][used].tobytes() == old.weights[name][used].tobytes()
    for name, expected in parts(alone).items():
        found = parts(together)[name]
        if name.startswith("mask"):
            assert np.mean(found != expected) < moved, name
            assert found.sum() == expected.sum(), name
    a, b = alone.sessions[2].record.psnr, together.sessions[2].record.psnr
    assert a is not None
    assert b == pytest.approx(a, abs=0.2)
    assert a > 12


def test_processes_that_hold_different_weights_are_stopped(folder: Path) -> None:
    write_lossless(folder / "other.mkv", moving_pattern(7, 20, 12, seed=5))
    before = (folder / "library.pfnr").read_bytes()
    assert codes(start_pair(folder, *ADD, apart={1: "other.mkv"})) == [1, 1]
    for rank in range(2):
        assert f"error: process {rank} of 2: clip, library or recipe are not the same in all processes" in (
            log(folder, f"log{rank}")
        )
    assert (folder / "library.pfnr").read_bytes() == before


def test_a_process_that_fails_ends_the_others(folder: Path) -> None:
    before = (folder / "library.pfnr").read_bytes()
    assert codes(start_pair(folder, *ADD, apart={1: "missing.mkv"})) == [1, 1]
    assert "error: process 1 of 2: missing.mkv: no such file" in log(folder, "log1")
    assert log(folder, "log0").splitlines()[-1] == (
        "error: process 0 of 2: another process stopped; its message says why"
    )
    assert (folder / "library.pfnr").read_bytes() == before


def test_a_signal_to_one_stops_all_at_the_same_step_and_the_pair_resumes(folder: Path) -> None:
    before = (folder / "library.pfnr").read_bytes()
    assert codes(start_pair(folder, *ADD)) == [0, 0]
    unbroken = (folder / "library.pfnr").read_bytes()
    (folder / "library.pfnr").write_bytes(before)
    pair = start_pair(folder, *ADD, "--save-every", "0.01s")
    state = folder / "library.pfnr.2.training"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert pair[1].pid is not None
    subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(pair[1].pid)], check=True)
    assert codes(pair) == [130, 130]
    assert "go on with --resume" in log(folder, "log0")
    assert codes(start_pair(folder, *ADD, "--resume")) == [0, 0]
    assert "resuming after step" in log(folder, "log0")
    assert (folder / "library.pfnr").read_bytes() == unbroken
    assert not state.exists()


def test_a_batch_is_shared_so_that_every_frame_counts_the_same() -> None:
    for size in (2, 3, 5):
        for frames in (1, 2, 4, 7):
            batch = torch.arange(frames) + 10
            shares = [Ranks(rank, size).part(batch) for rank in range(size)]
            own = torch.cat([part for part, counts in shares if counts])
            assert own.tolist() == batch.tolist()
            assert sum(counts for _, counts in shares) == pytest.approx(1)
            assert all(counts in (0, len(part) / frames) for part, counts in shares)


@pytest.mark.slow
def test_torchrun_starts_it(folder: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "pfnr_train", *map(str, ADD), "--device", "cpu"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("session 2 (clip): 7 frames, PSNR ")
    assert len(read_library(folder / "library.pfnr").sessions) == 3
