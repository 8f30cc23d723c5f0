"""Telling the toolkit's own files from others by how they begin, so that frames are not written over them."""

from __future__ import annotations

from pathlib import Path

LIBRARY, VIDEO, SIDECAR, STATE, GOLDEN = (
    "a library",
    "an exported video",
    "a session's sidecar",
    "a training's state",
    "a golden file",
)
_SUFFIXES = {".pfnr": LIBRARY, ".onnx": VIDEO, ".pfnv": VIDEO, ".golden": GOLDEN, ".training": STATE}
_BEGINNING = 256


def own_kind(path: Path) -> str | None:
    """What file of the toolkit's there is at `path`, in words; None for another file, or none."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            start = file.read(_BEGINNING)
    except OSError:
        return None
    if start.startswith(b"pfnv") or (start.startswith(b"\x08") and b"\x12\x04pfnr" in start[:64]):
        return VIDEO
    if start[30:].startswith(b"golden.json"):
        return GOLDEN
    if start[8:].startswith(b'{"__metadata__":{"pfnr_training"'):
        return STATE
    if start[8:].startswith(b'{"__metadata__":{"pfnr"'):
        return SIDECAR if b'\\"graph_sha256\\"' in start or path.suffix == ".safetensors" else LIBRARY
    return _SUFFIXES.get(path.suffix) if start else None
