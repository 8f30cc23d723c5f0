"""The systemd unit, checked by systemd's own tools where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dockerfiles import FOLDER

UNIT = FOLDER / "systemd" / "pfnr-serve.service"
PROGRAM = "/opt/pfnr/bin/pfnr-serve"
# systemd's exposure level, 0 (locked up) to 10: 1.4 and, with a GPU's device files, 1.9 by systemd 252. Other
# versions weigh a little differently.
MOST_EXPOSED = {"cpu": 1.6, "gpu": 2.2}

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(params=sorted(MOST_EXPOSED))
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The unit as installed, its program replaced by one that exists here; for `gpu` with the drop-in."""
    text = UNIT.read_text()
    assert f"ExecStart={PROGRAM} " in text
    path = tmp_path / UNIT.name
    path.write_text(text.replace(PROGRAM, sys.executable))
    if request.param == "gpu":
        shutil.copytree(UNIT.with_suffix(".service.d"), path.with_suffix(".service.d"))
    return request.param, path


def test_systemd_accepts_it(unit: tuple[str, Path]) -> None:
    done = analyse("verify", str(unit[1]))
    assert done.returncode == 0, done.stderr
    assert unit[1].name not in done.stderr, done.stderr


def test_it_is_locked_up(unit: tuple[str, Path]) -> None:
    kind, path = unit
    done = analyse("security", "--offline=yes", str(path))
    level = re.search(r"Overall exposure level.*?: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= MOST_EXPOSED[kind]
