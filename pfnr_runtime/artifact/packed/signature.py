"""How a packed video is told from an .onnx file, without loading what unpacks it."""

from __future__ import annotations

from pathlib import Path

MAGIC = b"pfnv"
SUFFIX = ".pfnv"


def is_packed(path: Path) -> bool:
    """Whether the file at `path` is a packed video or is named like one."""
    try:
        if not path.is_file():
            return path.suffix == SUFFIX
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC or path.suffix == SUFFIX
    except OSError:
        return path.suffix == SUFFIX
