"""Whether the end of a video file is missing, judged by its structure, not its counts.

MP4's boxes and Matroska's elements are walked by hand, because FFmpeg reports no unread or missing rest of a file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO


def promised_end(container: Any, stream: Any) -> Fraction | None:
    """When the last frame ends, in seconds, for MP4 and Matroska files that record it; None for others.

    Matroska's tags are per stream, and may include stale copies: the earliest counts. Its overall duration counts
    only if video is the only stream.
    """
    if "mp4" in container.format.name and stream.duration:
        return ((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base)
    if "matroska" not in container.format.name:
        return None
    found = []
    for key, text in stream.metadata.items():
        if key.startswith("DURATION") and (m := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d{1,9})?)", text)):
            found.append(int(m[1]) * 3600 + int(m[2]) * 60 + Fraction(m[3]))
    if not found and len(container.streams) == 1 and container.duration:
        found.append(Fraction(container.duration, 1_000_000))
    return min(found, default=None)


def missing_end(path: Path, format_name: str, end_of_data: int) -> str:
    """Why the file at `path` must once have been longer, or ''; unfinished files do not count.

    format_name: FFmpeg's. end_of_data: where the last packet ends.
    """
    size = path.stat().st_size
    if format_name == "yuv4mpegpipe" and end_of_data < size:
        return "its last frame is incomplete"
    reader = next((read for name, read in READERS.items() if name in format_name.split(",")), None)
    if reader is None:
        return ""
    try:
        with path.open("rb") as file:
            return reader(file, size)
    except struct.error:
        return ""


def _mp4(file: BinaryIO, size: int) -> str:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length < 8:  # 0: up to the end of the file
            return ""
        at += length
        if at > size:
            return f"{at - size} bytes of its {kind.decode('latin-1')} box are missing"
    return ""


def _avi(file: BinaryIO, size: int) -> str:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length in (0, 0xFFFFFFFF):  # never finished
            return ""
        at += 8 + length + length % 2
        if at > size + 1:
            return f"{at - size} bytes of it are missing"
    return ""


def _matroska(file: BinaryIO, size: int) -> str:
    at = 0
    for wanted in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        file.seek(at)
        if file.read(4) != wanted:
            return ""
        first = file.read(1)
        if not first or not first[0]:
            return ""
        width = 9 - first[0].bit_length()
        value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + file.read(width - 1), "big")
        if value == (1 << (7 * width)) - 1:  # never finished
            return ""
        at += 4 + width + value
    return f"{at - size} bytes of its segment are missing" if at > size else ""


def _gif(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - 64))
    # Some writers pad with zeros after the trailer.
    return "" if file.read().rstrip(b"\0").endswith(b";") else "its end is missing"


READERS: dict[str, Callable[[BinaryIO, int], str]] = {"mp4": _mp4, "avi": _avi, "matroska": _matroska, "gif": _gif}
