"""Takes clips apart: what recorders, pipes and bad disks do to them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

ORIENTED = (".jpg", ".png", ".webp", ".tif")


def packet_spans(path: Path) -> list[tuple[int, int]]:
    """(place, size) in the file of each packet of a video, in decoding order."""
    with av.open(str(path)) as file:
        return [(p.pos or 0, p.size) for p in file.demux(video=0) if p.size]


def spoil_packet(path: Path, number: int, fill: int = 0xFF, part: float = 0.5) -> None:
    """Overwrites the second `part` of packet `number` with one byte."""
    at, size = packet_spans(path)[number]
    overwrite(path, at + int(size * part), bytes([fill]) * (size - int(size * part) - 8))


def overwrite(path: Path, at: int, new: bytes) -> None:
    """Puts `new` into the file at `at`."""
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(bytes(data))


def remux(
    source: Path, target: Path, keep: Callable[[int, Any], bool], tags: dict[str, str] | None = None
) -> Path:
    """Copies the packets of a video for which `keep(number, packet)` holds; tags: of the new stream."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.metadata.update(tags or {})
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if keep(number, packet):
                packet.stream = stream
                new.mux(packet)
    return target


def join_streams(target: Path, parts: Iterable[tuple[Path, bool]]) -> Path:
    """One file with the video of each part as a stream, and whether it has the default flag."""
    from av.stream import Disposition

    files = [(av.open(str(path)), default) for path, default in parts]
    with av.open(str(target), "w") as new:
        pairs = []
        for file, default in files:
            stream = new.add_stream_from_template(file.streams.video[0])
            stream.disposition = Disposition.default if default else Disposition(0)
            pairs.append((file, stream))
        packets = [(p, stream) for file, stream in pairs for p in file.demux(video=0) if p.size]
        for packet, stream in sorted(packets, key=lambda each: Fraction(each[0].dts) * each[0].time_base):
            packet.stream = stream
            new.mux(packet)
    for file, _ in files:
        file.close()
    return target


def hold_last_of_gif(path: Path, hundredths: int) -> None:
    """Sets how long the last picture of a GIF is shown."""
    overwrite(path, path.read_bytes().rindex(b"\x21\xf9\x04") + 4, struct.pack("<H", hundredths))


def hold_last_of_apng(path: Path, seconds: int) -> None:
    """Sets how long the last picture of an APNG is shown."""
    data = path.read_bytes()
    at = data.rindex(b"fcTL")
    chunk = data[at : at + 24] + struct.pack(">HH", seconds, 1) + data[at + 28 : at + 30]
    overwrite(path, at, chunk + struct.pack(">I", zlib.crc32(chunk)))


def exif(orientation: int) -> bytes:
    """EXIF data that holds an orientation and nothing else."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def orient(path: Path, orientation: int) -> None:
    """Gives an image an EXIF orientation, in the way of its format."""
    data, kind = path.read_bytes(), path.suffix
    if kind == ".jpg":
        body = b"Exif\0\0" + exif(orientation)
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    elif kind == ".png":
        chunk = b"eXIf" + exif(orientation)
        data = (
            data[:33]
            + struct.pack(">I", len(chunk) - 4)
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + data[33:]
        )
    elif kind == ".webp":
        body = exif(orientation)
        data += b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    else:
        at = struct.unpack("<I", data[4:8])[0]
        count = struct.unpack("<H", data[at : at + 2])[0]
        entries = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
        entries = [e for e in entries if e[:2] != b"\x12\x01"] + [
            struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
        ]
        table = struct.pack("<H", len(entries)) + b"".join(
            sorted(entries, key=lambda e: struct.unpack("<H", e[:2]))
        )
        data = data[:4] + struct.pack("<I", len(data)) + data[8:] + table + b"\0\0\0\0"
    path.write_bytes(data)
