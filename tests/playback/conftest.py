"""Artifacts and commands for playback: those of the runtime's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtime.conftest import run
from runtime.tiny_artifacts import save, table_model

__all__ = ["run"]


@pytest.fixture(scope="session")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of 64×36 whose samples are `picture_table()`."""
    return save(table_model(), tmp_path_factory.mktemp("artifacts") / "table.onnx")
