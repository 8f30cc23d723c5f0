"""Canvas networks as artifacts: the frames of PyTorch, in any batch, and a packed file of a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.canvas_sessions import canvas_library

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.lowerings import choose_lowering
from pfnr_export.materialise import materialise
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.packed.file import parts
from pfnr_runtime.errors import UsageError
from pfnr_train.library.library import Library
from pfnr_train.model.config import preset_config
from pfnr_train.model.network import MaskedSession, to_uint8

FRAMES = 5


@pytest.fixture(scope="module", params=["canvas", "cpu-s"])
def library(request: pytest.FixtureRequest) -> Library:
    return canvas_library(FRAMES, config=preset_config(request.param, 80, 48))


def test_the_materialised_decoder_is_the_network_in_float64(library: Library) -> None:
    session = library.session_weights(0)
    decoder = materialise(session, choose_lowering("auto", library.config), torch.float64)
    indices = torch.arange(FRAMES)
    reference = MaskedSession(session, torch.float64)(indices)
    assert torch.equal(decoder(indices), reference)


@pytest.mark.parametrize("suffix", [".onnx", ".pfnv"])
def test_the_artifact_decodes_pytorch_s_frames_in_any_batch(library: Library, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    export_session(library, 0, path, ExportOptions())
    expected = to_uint8(MaskedSession(library.session_weights(0))(torch.arange(FRAMES)))
    with VideoDecoder(path, threads=1) as video:
        together = video[:].data
        alone = np.stack([video[i].data for i in range(FRAMES)])
    assert np.array_equal(together, expected)
    assert np.array_equal(together, alone)


def test_the_graph_of_a_packed_one_takes_a_few_hundred_bytes(library: Library, tmp_path: Path) -> None:
    export_session(library, 0, tmp_path / "v.pfnv", ExportOptions())
    sizes = dict(parts((tmp_path / "v.pfnv").read_bytes()))
    assert sizes["graph and contract"] < 700


def test_it_has_no_continuous_time(library: Library) -> None:
    with pytest.raises(UsageError, match="whole frames only"):
        export_session(library, 0, None, ExportOptions(time="continuous"))
