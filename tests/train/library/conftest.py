"""A library in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.libraries import made_library, small_config

from pfnr_train.library.file import write_library


@pytest.fixture
def library_file(tmp_path: Path) -> Path:
    path = tmp_path / "library.pfnr"
    write_library(made_library(small_config("add", bias=True)), path)
    return path
