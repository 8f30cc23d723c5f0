"""Reading a small safetensors file strictly, with NumPy alone.

Layout: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes. The header maps a
tensor's name to its dtype, shape and [start, end) in the data, and `__metadata__` to text by key. Only the two
dtypes of sidecars are supported. Everything is checked before anything is used: tensors must fill the data
exactly, without gaps or overlaps, and each must have the size that its shape implies.

Written by hand, because a playback install has no safetensors package, and that package loads whatever dtypes and
sizes a file states.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.system.regular_file import require_regular

MAX_SIDECAR_HEADER = 1 << 20
MAX_SIDECAR_RANK = 8
DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "F32": np.dtype("<f4")}


@dataclass(frozen=True)
class TensorSpec:
    """One tensor's declared dtype and shape, and its byte range [start, end) in the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of one file. data_start: where the tensors' bytes begin. size: of the whole file."""

    metadata: dict[str, str]
    tensors: dict[str, TensorSpec]
    data_start: int
    size: int


def read_header(path: Path) -> SafetensorsHeader:
    """The checked header of the file at `path`; a ValueError says what is wrong. Raises OSError."""
    size = require_regular(path)
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError(f"{size} bytes are too few for a header")
        length = int.from_bytes(start, "little")
        if not 2 <= length <= min(MAX_SIDECAR_HEADER, size - 8):
            raise ValueError(
                f"a header of {length} bytes in a file of {size} (at most {MAX_SIDECAR_HEADER} are allowed)"
            )
        text = file.read(length)
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("a header nested without end") from None
    if not isinstance(value, dict):
        raise ValueError("its header is not a JSON object")
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata is not text by key")
    tensors = {name: _spec(name, spec) for name, spec in value.items()}
    _check_cover(tensors, size - 8 - length)
    return SafetensorsHeader(metadata, tensors, 8 + length, size)


def read_tensors(path: Path, header: SafetensorsHeader) -> dict[str, NDArray[Any]]:
    """Every tensor of a file whose header was read, read-only; a ValueError if the file has changed since."""
    with path.open("rb") as file:
        file.seek(header.data_start)
        data = file.read(header.size - header.data_start + 1)
    if len(data) != header.size - header.data_start:
        raise ValueError("it changed while it was read")
    return {
        name: np.frombuffer(data[spec.start : spec.end], DTYPES[spec.dtype]).reshape(spec.shape)
        for name, spec in header.tensors.items()
    }


def _spec(name: str, value: Any) -> TensorSpec:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name[:80]!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor {name[:80]!r} has dtype {str(dtype)[:20]!r}, none of {', '.join(DTYPES)}")
    for what, numbers in (("shape", shape), ("offsets", offsets)):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 40 for n in numbers):
            raise ValueError(f"tensor {name[:80]!r} has an impossible {what}")
    if len(shape) > MAX_SIDECAR_RANK or len(offsets) != 2:
        raise ValueError(f"tensor {name[:80]!r} has an impossible shape or offsets")
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[dtype].itemsize:
        raise ValueError(f"tensor {name[:80]!r}: {dtype} {shape} does not take bytes {offsets[0]} to {offsets[1]}")
    return TensorSpec(dtype, tuple(shape), offsets[0], offsets[1])


def _check_cover(tensors: dict[str, TensorSpec], size: int) -> None:
    position = 0
    for name, spec in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if spec.start != position:
            raise ValueError(f"tensor {name[:80]!r} starts at byte {spec.start} of the data, not at {position}")
        position = spec.end
    if position != size:
        raise ValueError(f"its tensors take {position} bytes, and it has {size}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("its header names something twice")
    return value
