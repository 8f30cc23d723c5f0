"""A trainer killed at any moment: resumed, it ends with the same library bytes as an unbroken run."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.clips import write_lossless
from helpers.libraries import made_library, small_config
from helpers.synthetic import moving_pattern
from helpers.trainings import log, start_train, train

from pfnr_train.library.file import read_library, write_library

# Seven frames in batches of two: four steps an epoch.
ADD = ("add", "clip.mkv", "--epochs", 80, "--batch", 2, "--threads", 1, "--save-every", "0.02s")
STATE = "library.pfnr.2.training"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a library of two sessions and a clip for a third."""
    write_library(made_library(small_config("add"), 2), tmp_path / "library.pfnr")
    write_lossless(tmp_path / "clip.mkv", moving_pattern(7, 20, 12))
    return tmp_path


def saved_step(folder: Path) -> int:
    """The position of the state that a resumed training began with."""
    found = re.search(r"resuming after step (\d+) of 320", log(folder))
    return int(found[1]) if found else 0


def kill_when(folder: Path, moment: Callable[[], bool], *more: str) -> bool:
    """Train and kill the process when the moment has come; False if it ended before."""
    process = start_train(folder, *ADD, *more)
    deadline = time.monotonic() + 60
    while not moment() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0002)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_killed_again_and_again_it_ends_with_the_bytes_of_an_unbroken_run(folder: Path) -> None:
    before = (folder / "library.pfnr").read_bytes()
    train(folder, *ADD)
    unbroken = (folder / "library.pfnr").read_bytes()
    (folder / "library.pfnr").write_bytes(before)
    state = folder / STATE

    # Each is asked for when its process starts: what an earlier one left must not count.
    def training() -> Callable[[], bool]:
        return lambda: "training clip:" in log(folder) if (folder / "log").exists() else False

    def newly_saved() -> Callable[[], bool]:
        first = state.stat().st_mtime_ns if state.exists() else 0
        return lambda: state.exists() and state.stat().st_mtime_ns > first

    def being_written() -> Callable[[], bool]:
        left = {p.name for p in folder.iterdir()}
        return lambda: any(
            p.name.startswith(".") and ".training." in p.name and p.suffix == ".part" and p.name not in left
            for p in folder.iterdir()
        )

    (folder / "log").unlink()
    reached = [0]
    for moment in (training, newly_saved, being_written, newly_saved, being_written):
        assert kill_when(folder, moment(), "--resume")
        assert (folder / "library.pfnr").read_bytes() == before
        reached.append(saved_step(folder))
    assert reached == sorted(reached)
    assert "resuming after step" in train(folder, *ADD, "--resume")
    assert saved_step(folder) > 0
    assert (folder / "library.pfnr").read_bytes() == unbroken
    # What the kills left half-written is gone too.
    assert {p.name for p in folder.iterdir()} == {"library.pfnr", "library.pfnr.lock", "clip.mkv", "log"}


def test_killed_once_the_library_is_written_it_has_nothing_left_to_do(folder: Path) -> None:
    train(folder, *ADD)
    done = (folder / "library.pfnr").read_bytes()
    (folder / STATE).write_bytes(b"left by a process that was killed before it could remove it")
    said = train(folder, *ADD, "--resume")
    assert "library.pfnr.2.training removed: its session is in the library" in said
    assert "nothing to resume: the session is in the library\nsession 2 (clip): 7 frames, PSNR" in said
    assert (folder / "library.pfnr").read_bytes() == done
    assert not (folder / STATE).exists()


def test_without_resume_a_state_is_named_and_kept_until_it_is_discarded(folder: Path) -> None:
    assert kill_when(folder, (folder / STATE).exists)
    state = (folder / STATE).read_bytes()
    process = start_train(folder, *ADD)
    process.join(60)
    assert process.exitcode == 1
    assert log(folder).splitlines()[-1] == (
        f"error: {STATE} holds a training that was interrupted; go on with --resume, or start again with --discard"
    )
    assert (folder / STATE).read_bytes() == state
    said = train(folder, *ADD, "--discard")
    assert "resuming" not in said
    assert not (folder / STATE).exists()
    assert len(read_library(folder / "library.pfnr").sessions) == 3
