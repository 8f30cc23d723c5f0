"""A folder that pfnr-web wrote: exact videos, and networks packed and not, with the frames that pfnr decodes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.browsing import REQUIRED
from helpers.canvas_sessions import canvas_library
from helpers.libraries import small_config
from helpers.packing import grid_model
from helpers.serving import TABLES, write_artifacts
from helpers.tiny_artifacts import float_table_model, picture_table, save
from helpers.web_folders import FLOATS, WebFolder

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import EXACT, EXACT_INT8
from pfnr_runtime.artifact.packed.pack import pack
from pfnr_runtime.errors import BackendError
from pfnr_runtime.web.engine_package import engine_files
from pfnr_runtime.web.site import write_site


@pytest.fixture(scope="session")
def engine() -> None:
    """The engine's package, cached or to be had from the registry."""
    try:
        engine_files([])
    except BackendError as error:
        if REQUIRED:
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def made(engine: None, tmp_path_factory: pytest.TempPathFactory) -> WebFolder:
    """One folder for all tests that only look."""
    folder = tmp_path_factory.mktemp("web")
    artifacts = write_artifacts(folder)
    canvas = folder / "canvas.pfnv"
    done = export_session(canvas_library(12, size=(320, 180)), 0, canvas, ExportOptions())
    assert done.contract.precision == EXACT
    fourier = folder / "fourier.pfnv"
    fourier.write_bytes(pack(*grid_model(small_config("add"))))
    floats = save(float_table_model(), folder / "floats.onnx")
    integers = folder / "integers.pfnv"
    export_session(canvas_library(4), 0, integers, ExportOptions(precision=EXACT_INT8, psnr_budget=20.0))
    artifacts += [canvas, fourier, floats, integers]
    frames = []
    for path in artifacts:
        with VideoDecoder(path, threads=1) as video:
            frames.append(video[:].data)
    assert all(np.array_equal(mine, table) for mine, table in zip(frames, TABLES, strict=False))
    assert np.array_equal(frames[FLOATS], picture_table())
    write_site(artifacts, folder / "site")
    return WebFolder(folder / "site", frames)


@pytest.fixture
def spoilt(made: WebFolder, tmp_path: Path) -> Path:
    """A copy of the folder to damage. Its .wasm files, 40 MB, are shared with the folder: remove them, but do not
    write to them.
    """

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".wasm") else shutil.copyfile)(source, target)

    return Path(shutil.copytree(made.path, tmp_path / "site", copy_function=copy))
