"""Whatever ends a training early, the library on disk is the old one, whole, and not locked."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.clips import write_lossless
from helpers.disks import small_disk_at
from helpers.libraries import made_library
from helpers.synthetic import moving_pattern
from typer.testing import CliRunner

from pfnr_train.commands import app
from pfnr_train.library.file import lock_library, read_library, write_library
from pfnr_train.model.config import preset_config

ADD = [sys.executable, "-c", "from pfnr_train import main; main()", "add"]
STATE = "library.pfnr.2.training"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a library of two sessions and a clip for a third."""
    write_library(made_library(preset_config("tiny", 40, 24), 2), tmp_path / "library.pfnr")
    write_lossless(tmp_path / "clip.mkv", moving_pattern(6, 40, 24))
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on its own disk of 3 MB, where this process may mount one."""
    with small_disk_at(tmp_path / "disk", "3m") as folder:
        yield folder


@pytest.fixture
def trainer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A real process in the middle of a training that would take hours."""
    process = subprocess.Popen(
        [*ADD, "clip.mkv", "--epochs", "100000", "--threads", "1", "--save-every", "0.2s"],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while not (folder / STATE).exists() and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"library.pfnr.lock"}


def test_while_one_trains_others_read_but_do_not_write(folder: Path, trainer: subprocess.Popen[str]) -> None:
    library = folder / "library.pfnr"
    second = CliRunner().invoke(app, ["add", str(folder / "clip.mkv"), "--library", str(library)])
    assert second.exit_code == 1
    assert second.stderr == (
        f"error: {library} is locked: process {trainer.pid} is adding to it; wait for it to end, then run this "
        "again\n"
    )
    assert CliRunner().invoke(app, ["info", "--library", str(library)]).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trainer_told_to_stop_saves_its_state_and_says_so(
    number: signal.Signals, folder: Path, trainer: subprocess.Popen[str]
) -> None:
    library, before = folder / "library.pfnr", (folder / "library.pfnr").read_bytes()
    trainer.send_signal(number)
    stdout, stderr = trainer.communicate(timeout=60)
    assert (trainer.returncode, stdout) == (130, "")
    assert re.search(
        r"300000 steps\nstopping after this step; once more stops at once\n"
        r"library\.pfnr\.2\.training holds the training after step \d+ of 300000: go on with --resume\n"
        r"interrupted\n",
        stderr,
    )
    assert library.read_bytes() == before
    assert names(folder) == {"library.pfnr", STATE, "clip.mkv"}
    with lock_library(library):
        pass


def test_a_killed_trainer_leaves_the_library_whole_and_unlocked(
    folder: Path, trainer: subprocess.Popen[str]
) -> None:
    before = (folder / "library.pfnr").read_bytes()
    trainer.kill()
    trainer.wait(timeout=60)
    assert (folder / "library.pfnr").read_bytes() == before
    with lock_library(folder / "library.pfnr"):
        pass


def test_a_file_that_may_not_grow_leaves_the_old_library(folder: Path) -> None:
    before = (folder / "library.pfnr").read_bytes()
    limit = len(before) // 2
    done = subprocess.run(
        [*ADD, "clip.mkv", "--epochs", "1", "--threads", "1"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: library.pfnr: File too large")
    assert (folder / "library.pfnr").read_bytes() == before
    assert names(folder) == {"library.pfnr", "clip.mkv"}


def test_a_full_disk_leaves_the_old_library(folder: Path, small_disk: Path) -> None:
    library = small_disk / "library.pfnr"
    library.write_bytes((folder / "library.pfnr").read_bytes())
    before = library.read_bytes()
    assert len(before) > 1.5e6  # so that a second copy does not fit
    done = CliRunner().invoke(
        app, ["add", str(folder / "clip.mkv"), "-l", str(library), "--epochs", "1", "--threads", "1"]
    )
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"error: {library}: the disk is full; free some space and run the command again"
    assert library.read_bytes() == before
    assert names(small_disk) == {"library.pfnr"}
    assert len(read_library(library).sessions) == 2
