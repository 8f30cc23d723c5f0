"""Artifacts to serve, and a server of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.serving import Serving, serving, write_artifacts


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_artifacts(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(artifacts: list[Path]) -> Iterator[Serving]:
    with serving(artifacts) as running:
        yield running
