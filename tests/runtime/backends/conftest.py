"""The stand-ins for device and library as the backend meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.libraries import made_library, small_config
from helpers.stand_in_device import StandInDevice
from helpers.stand_in_trt import StandInTensorRt

from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime.backends.trt import api, backend
from pfnr_runtime.backends.trt.api import TENSORRT, EngineLibrary, EngineLog


@pytest.fixture
def device() -> StandInDevice:
    return StandInDevice()


@pytest.fixture
def trt(device: StandInDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInTensorRt]:
    module: Any = StandInTensorRt(device)
    log = EngineLog()
    library = EngineLibrary(module, TENSORRT, module.__version__, log, api._make_logger(module, log))
    monkeypatch.setattr(backend, "load_library", lambda flavour: library)
    monkeypatch.setattr(backend, "open_device", lambda: device)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield module
    assert not device.alive, "everything was given back"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    library = made_library(small_config(), 3, frames=4)
    export_shared(library, [0, 1, 2], tmp_path / "library.onnx", SharedOptions())
    return tmp_path / "library.onnx"
