"""A photo's orientation from its EXIF data.

FFmpeg exposes EXIF in a form that PyAV cannot name, and loses mirrored orientations; the one number is read from
the file instead.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

ORIENTATION = 0x0112
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# (transpose, flip rows, flip columns), applied in this order, that turn each orientation upright.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def exif_turn(path: Path) -> tuple[bool, bool, bool] | None:
    """How to turn the JPEG, PNG, WebP or TIFF file at `path` upright; None if it does not say."""
    try:
        with path.open("rb") as file:
            return TURNS.get(_orientation(file))
    except (OSError, struct.error):
        return None


def _orientation(file: BinaryIO) -> int:
    head = file.read(12)
    if head[:2] == b"\xff\xd8":
        return _in_jpeg(file)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _in_chunks(file, 8, ">I4s", b"eXIf", 4)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return _in_chunks(file, 12, "<4sI", b"EXIF", 0)
    return _in_tiff(file, 0)


def _in_jpeg(file: BinaryIO) -> int:
    at = 2
    while True:
        file.seek(at)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF or kind in (0xD9, 0xDA):
            return 0
        if kind == 0xE1 and file.read(6) == b"Exif\0\0":
            return _in_tiff(file, at + 10)
        at += 2 + length


def _in_chunks(file: BinaryIO, at: int, layout: str, wanted: bytes, tail: int) -> int:
    """Orientation in the chunk `wanted`; tail: bytes of each chunk behind its data."""
    while True:
        file.seek(at)
        fields = struct.unpack(layout, file.read(8))
        length, name = fields if layout[0] == ">" else fields[::-1]
        if name == wanted:
            # Some writers keep the prefix that JPEG has here.
            return _in_tiff(file, at + 8) or _in_tiff(file, at + 14)
        at += 8 + length + (tail or length % 2)


def _in_tiff(file: BinaryIO, base: int) -> int:
    file.seek(base)
    order = BYTE_ORDERS.get(file.read(4))
    if order is None:
        return 0
    file.seek(base + struct.unpack(order + "I", file.read(4))[0])
    for _ in range(struct.unpack(order + "H", file.read(2))[0]):
        tag, _, _, value = struct.unpack(order + "HHIH2x", file.read(12))
        if tag == ORIENTATION:
            return int(value)
    return 0
