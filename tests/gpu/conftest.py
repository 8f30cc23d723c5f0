"""What the GPU tests run on and with, and the table they leave.

PFNR_REQUIRE_GPU=1: a missing device or engine fails instead of skipping. PFNR_GPU_ARTIFACTS: a folder made by
`make_artifacts`, for a device without torch. PFNR_GPU_BACKENDS: names to test, separated by commas; naming
onnxruntime-cpu runs what can run without a GPU, to test the tests. PFNR_GPU_REPORT: a JSON file for the table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pfnr_runtime.backends import backend_kinds

BACKENDS = os.environ.get("PFNR_GPU_BACKENDS", "tensorrt,tensorrt-rtx,onnxruntime-cuda").split(",")
REQUIRED = os.environ.get("PFNR_REQUIRE_GPU") == "1"
ROWS = pytest.StashKey[list[dict[str, Any]]]()


def usable() -> dict[str, str | None]:
    """By backend: why it cannot run here, or None."""
    kinds = {kind.name: kind for kind in backend_kinds()}
    return {name: kinds[name].probe() or kinds[name].device() for name in BACKENDS}


def give_up(reason: str) -> None:
    """Skip, or fail where a GPU was promised."""
    if REQUIRED:
        pytest.fail(f"PFNR_REQUIRE_GPU=1, and {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn. One engine of several is enough where a GPU was promised."""
    reasons = usable()
    name: str = request.param
    if reasons[name] is None:
        return name
    if all(reasons.values()):
        give_up("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    pytest.skip(f"{name}: {reasons[name]}")


@pytest.fixture
def tensorrt(backend: str) -> str:
    """Those of the backends that build engines."""
    if not backend.startswith("tensorrt"):
        pytest.skip(f"{backend} builds no engines")
    return backend


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of artifacts, made here unless it was brought along."""
    if given := os.environ.get("PFNR_GPU_ARTIFACTS"):
        return Path(given)
    pytest.importorskip("torch", reason="no torch here: bring artifacts along, PFNR_GPU_ARTIFACTS=FOLDER")
    from helpers.gpu_artifacts import make_artifacts

    folder = tmp_path_factory.mktemp("artifacts")
    make_artifacts(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def engines(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An engine cache of the tests' own, so that they see real builds and leave nothing behind."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Callable[..., None]:
    """table(what=..., backend=..., ...) adds a row to the table at the end of the run."""
    rows = request.config.stash.setdefault(ROWS, [])
    return lambda **row: rows.append(row)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, and write it where PFNR_GPU_REPORT says."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("on this device")
    for row in rows:
        rest = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("what", "backend"))
        terminalreporter.write_line(f"{row['what']:<10} {row['backend']:<18} {rest}")
    if target := os.environ.get("PFNR_GPU_REPORT"):
        Path(target).write_text(json.dumps(rows, indent=2) + "\n")
