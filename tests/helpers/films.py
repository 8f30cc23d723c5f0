"""A folder with six clips and the library trained from them by the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.clips import write_lossless
from helpers.running import FRAMES, TRAIN, run_here
from helpers.synthetic import moving_pattern


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six clips and the library.pfnr trained from them.

    Frames are large enough that one sample of one step is within the share that parity allows.
    """
    folder = tmp_path_factory.mktemp("films")
    for k in range(6):
        write_lossless(folder / f"clip{k}.mkv", moving_pattern(FRAMES, 80, 48, k))
        done = run_here("pfnr-train", "add", folder / f"clip{k}.mkv", "-l", folder / "library.pfnr", *TRAIN)
        assert (done.code, done.stdout.split(":")[0]) == (0, f"session {k} (clip{k})")
    return folder


@pytest.fixture
def folder(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as the current folder."""
    shutil.copytree(films, tmp_path / "films")
    monkeypatch.chdir(tmp_path / "films")
    monkeypatch.delenv("PFNR_LIBRARY", raising=False)
    return tmp_path / "films"
