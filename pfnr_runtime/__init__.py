"""The edge decoder: open an exported video, decode any frame, write or show it. No torch, no onnx."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# From 1.32 on, ONNX Runtime's wheels send telemetry and keep a device ID in ~/.cache unless this is set before
# they are loaded. Users have not agreed to that; setting it to 0 opts in.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from pfnr_runtime.decoder import VideoDecoder
    from pfnr_runtime.video.frames import Frame, FrameBatch

__version__ = "0.1.0"
__all__ = ["Frame", "FrameBatch", "VideoDecoder", "__version__"]

_HOMES = {
    "VideoDecoder": "pfnr_runtime.decoder",
    "Frame": "pfnr_runtime.video.frames",
    "FrameBatch": "pfnr_runtime.video.frames",
}


def __getattr__(name: str) -> Any:
    """Import public names at first use: `import pfnr_runtime` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
