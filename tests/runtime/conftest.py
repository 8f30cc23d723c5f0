"""Fixtures: tiny artifacts on disk, and commands run as a person runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.commands import Run, command_line, environment
from helpers.tiny_artifacts import conv_model, float_table_model, save, table_model


@pytest.fixture(scope="session")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(table_model(), tmp_path_factory.mktemp("artifacts") / "table.onnx")


@pytest.fixture(scope="session")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(float_table_model(), tmp_path_factory.mktemp("artifacts") / "float.onnx")


@pytest.fixture(scope="session")
def conv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(conv_model(), tmp_path_factory.mktemp("artifacts") / "conv.onnx")


@pytest.fixture
def run() -> Run:
    """run("decode", artifact, "md5:") → the finished process; it never shows a traceback."""

    def finish(command: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command_line(command, *arguments),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            **options,  # type: ignore[call-overload]
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return finish
