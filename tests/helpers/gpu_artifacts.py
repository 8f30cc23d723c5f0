"""The artifacts that the GPU tests decode: `python -m gpu.make_artifacts FOLDER` (from tests/, needs torch).

One network with random weights: parity and speed do not care what the pictures show. Made once on any machine
with torch, the folder can be copied to a device that has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from helpers.canvas_sessions import canvas_library
from helpers.libraries import made_library
from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.precisions import PRECISIONS
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_train.model.config import preset_config

SHARED = "library.onnx"
CONTINUOUS = "continuous.onnx"


def make_artifacts(folder: Path, preset: str = "s", size: tuple[int, int] = (320, 180), frames: int = 16) -> None:
    """`fp32.onnx`, ..., `continuous.onnx` with a golden file each, and `library.onnx` with two sidecars."""
    folder.mkdir(parents=True, exist_ok=True)
    library = made_library(preset_config(preset, *size), 2, frames)
    for name, precision in PRECISIONS.items():
        # Random weights have no quality to lose: at the loosest budget every layer gets its precision.
        more: dict[str, Any] = {} if precision.budget is None else {"psnr_budget": 20.0}
        options = ExportOptions(precision=name, **more)
        trained = canvas_library(frames, size=size) if precision.proved else library
        export_session(trained, 0, folder / f"{name}.onnx", options, golden_frames=4)
    export_session(library, 0, folder / CONTINUOUS, ExportOptions(time="continuous"), golden_frames=4)
    export_shared(library, [0, 1], folder / SHARED, SharedOptions())


if __name__ == "__main__":
    make_artifacts(Path(sys.argv[1]), *sys.argv[2:3])
