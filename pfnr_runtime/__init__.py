"""The edge decoder: open an exported video, decode any frame, write or show it. No torch, no onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pfnr_runtime.decoder import VideoDecoder
    from pfnr_runtime.frames import Frame, FrameBatch

__version__ = "0.1.0"
__all__ = ["Frame", "FrameBatch", "VideoDecoder", "__version__"]

_HOMES = {
    "VideoDecoder": "pfnr_runtime.decoder",
    "Frame": "pfnr_runtime.frames",
    "FrameBatch": "pfnr_runtime.frames",
}


def __getattr__(name: str) -> Any:
    """Import the public names at their first use: `import pfnr_runtime` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
