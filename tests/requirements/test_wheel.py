"""A wheel holds everything that the packages read at run time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from helpers.paths import ROOT

from pfnr_runtime.proof.suite import read_suite

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

PACKAGES = ("pfnr_runtime", "pfnr_train", "pfnr_export")


def data_files() -> set[str]:
    """Files of the packages that are no code, as paths from the root."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    skipped = {"__pycache__"}
    return {str(p.relative_to(ROOT)) for p in found if p.suffix != ".py" and not skipped & set(p.parts)}


def test_every_data_file_is_declared() -> None:
    """A package's data are found by patterns in pyproject.toml; a folder without code belongs to the one above."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    declared: set[str] = set()
    for package, patterns in settings.items():
        folder = ROOT / package.replace(".", "/")
        assert (folder / "__init__.py").exists(), f"{package} is no package, so its patterns count for nothing"
        for pattern in patterns:
            declared |= {str(path.relative_to(ROOT)) for path in folder.glob(pattern)}
    assert data_files() - declared == set()
    assert {str(case.file.relative_to(ROOT)) for case in read_suite()} <= declared


@pytest.mark.slow
def test_a_wheel_has_them(tmp_path: Path) -> None:
    import subprocess
    import sys

    build = [sys.executable, "-m", "uv", "build", "--wheel", "-q", "-o", str(tmp_path), str(ROOT)]
    if subprocess.run(build, capture_output=True, check=False).returncode:
        pytest.skip("no wheel can be built here: setuptools is not to be had")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert data_files() <= set(archive.namelist())
