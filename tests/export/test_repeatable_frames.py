"""The same file and engine give the same bytes: in order, reversed, seeking, and in batches of 1, 3 and 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.libraries import made_library

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.precisions import PRECISIONS
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_train.model.config import preset_config

FRAMES = 10


def exported(kind: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """An artifact of random weights at 90p, and the options that open it."""
    library = made_library(preset_config("tiny", 160, 90), 1, FRAMES)
    path = folder / "v.onnx"
    if kind == "shared":
        export_shared(library, [0], path, SharedOptions())
        return path, {"session": 0}
    more: dict[str, Any] = (
        {} if PRECISIONS[kind].budget is None else {"psnr_budget": 20.0, "calibration_frames": 2}
    )
    export_session(library, 0, path, ExportOptions(precision=kind, **more))
    return path, {}


@pytest.mark.parametrize("kind", ["fp32", "int8", "shared"])
def test_order_and_batch_size_never_change_a_byte(kind: str, tmp_path: Path) -> None:
    path, options = exported(kind, tmp_path)
    with VideoDecoder(path, backend="onnxruntime-cpu", threads=2, **options) as decoder:
        frames = np.stack([frame.data for frame in decoder])
        assert len(np.unique(frames.reshape(FRAMES, -1), axis=0)) == FRAMES
        assert all((decoder[i].data == frames[i]).all() for i in reversed(range(FRAMES)))
        seeks = np.random.default_rng(1).integers(0, FRAMES, 2 * FRAMES)
        assert all((decoder[int(i)].data == frames[i]).all() for i in seeks)
        for size in (1, 3, 8):
            again = np.concatenate([batch.data for batch in decoder.iter(batch_size=size)])
            assert (again == frames).all(), f"batches of {size}"
    with VideoDecoder(path, backend="onnxruntime-cpu", threads=1, **options) as second:
        assert (second[:].data == frames).all(), "another number of threads"
