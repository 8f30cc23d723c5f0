"""Sessions that own their values: their artifacts never change, and decode what PyTorch decodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.libraries import small_config, trained
from helpers.own_sessions import CODED, PLACED

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.shared.export_shared import SharedOptions, export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.errors import UsageError
from pfnr_train.library.file import library_bytes, read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.model.decode import decode_all
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe

CONFIG = small_config("add", channels=12, bias=True)
RECIPES = [CODED, PLACED, Recipe(epochs=2), replace(CODED, parent="0"), Recipe(epochs=2), CODED]


@pytest.fixture(scope="module")
def stages() -> list[Library]:
    """The library after each session: coded, places, shared, a coded child of the first, shared, coded."""
    return trained(new_library(CONFIG, 0), RECIPES)


def exported(library: Library, index: int, folder: Path, **options: str) -> Path:
    path = folder / f"{index}.onnx"
    export_session(library, index, path, ExportOptions(**options))
    return path


def test_every_old_session_exports_to_the_same_bytes_after_each_new_one(
    stages: list[Library], tmp_path: Path
) -> None:
    first: dict[int, bytes] = {}
    for library in stages:
        write_library(library, tmp_path / "library.pfnr")
        again = read_library(tmp_path / "library.pfnr")
        assert library_bytes(again) == library_bytes(library)
        for index in range(len(again.sessions)):
            data = exported(again, index, tmp_path).read_bytes()
            assert first.setdefault(index, data) == data
    assert len(set(first.values())) == len(RECIPES)


@pytest.mark.parametrize("index", range(len(RECIPES)))
def test_an_artifact_decodes_what_pytorch_decodes(index: int, stages: list[Library], tmp_path: Path) -> None:
    library = stages[-1]
    frames = decode_all(library.session_weights(index))
    for time in ("frames", "continuous"):
        decoder = VideoDecoder(exported(library, index, tmp_path, time=time))
        found = np.stack([decoder[i].data for i in range(len(decoder))])
        assert np.abs(found.astype(int) - frames.astype(int)).max() <= 1


def test_a_pool_begun_after_own_sessions_is_used_by_the_sessions_that_share(stages: list[Library]) -> None:
    assert not stages[1].weights
    assert stages[2].weights.keys() == CONFIG.tensor_shapes().keys()
    for name, used in stages[2].used().items():
        assert stages[4].weights[name][used].tobytes() == stages[2].weights[name][used].tobytes()


def test_a_shared_graph_of_own_sessions_is_refused_with_the_reason(stages: list[Library], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"session 0 \(video-0\) has coded values, all of them its own"):
        export_shared(stages[-1], [2], tmp_path / "shared.onnx", SharedOptions())
    assert not list(tmp_path.iterdir())
