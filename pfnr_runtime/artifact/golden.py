"""The golden file of a video: what PyTorch decodes, small enough to ship with an artifact.

`v5.golden` lies next to `v5.onnx` and verifies it on a machine without torch or the library. For each frame it
holds the SHA-256 of its uint8 [H, W, 3] RGB samples and the sums of its samples over a grid of blocks; it also
holds a few whole frames. It belongs to a session, not to one file: artifacts of the same session at any precision,
on any engine, are checked with it.

The format is a ZIP archive, stored without times, with three kinds of members:

    golden.json   format version, weights_sha256, frames, width, height, sha256 of each frame, numbers of
                  the whole frames, grid [rows, columns]
    blocks.bin    int32 little-endian [N, rows, columns, 3], zlib-compressed
    00000.png     each whole frame, by number

The difference of a block's sums is a lower bound on the difference of two frames, so that a frame with a different
digest and no whole reference can still be refuted (`pfnr_runtime.proof.golden_check`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.errors import ArtifactError, UsageError, VerificationError
from pfnr_runtime.sinks.images import FORMATS, encode_image
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_runtime.video.record import MAX_FRAMES, MAX_SIDE, require_fields

SUFFIX = ".golden"
FORMAT_VERSION = 1
GRID = (9, 16)  # rows and columns of blocks, fewer for smaller frames
WHOLE_FRAMES = 3
MAX_WHOLE_FRAMES = 64
HEADER, BLOCKS = "golden.json", "blocks.bin"
MAX_BYTES = 1 << 28  # of all block sums in memory, and of all whole frames
MAX_GOLDEN_HEADER = 80 * MAX_FRAMES
DIRECTORY_BYTES = 1 << 14  # of the archive's directory
END_BYTES, LOCATOR_BYTES = 22, 20  # of a ZIP archive's last record, and of the one before it that some have


@dataclass(frozen=True)
class GoldenHeader:
    """The contents of golden.json; see the module. Raises ValueError for impossible values."""

    format_version: int
    weights_sha256: str
    frames: int
    width: int
    height: int
    sha256: list[str]
    whole: list[int]
    grid: list[int]

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"golden format {self.format_version}; this version of pfnr reads {FORMAT_VERSION}")
        if not (1 <= self.frames <= MAX_FRAMES and 1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise ValueError(f"{self.frames} frames of {self.width}x{self.height} cannot be")
        digests = [self.weights_sha256, *self.sha256]
        if len(self.sha256) != self.frames or not all(
            isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) for digest in digests
        ):
            raise ValueError(f"it needs {self.frames} SHA-256 digests in hex")
        if (
            not all(type(i) is int and 0 <= i < self.frames for i in self.whole)
            or len(self.whole) > MAX_WHOLE_FRAMES
        ):
            raise ValueError(f"whole frames must be at most {MAX_WHOLE_FRAMES} numbers under {self.frames}")
        if len(self.whole) * 3 * self.width * self.height > MAX_BYTES:
            raise ValueError(
                f"{len(self.whole)} whole frames of {self.width}x{self.height} are over {MAX_BYTES:,} bytes"
            )
        if self.grid != list(grid_of(self.height, self.width)):
            raise ValueError(f"a grid of {self.grid!r} blocks for {self.width}x{self.height}")


@dataclass(frozen=True)
class Golden:
    """A golden file in memory. blocks: int32 [N, rows, columns, 3]. whole: uint8 [H, W, 3] by number."""

    header: GoldenHeader
    blocks: NDArray[np.int32]
    whole: dict[int, NDArray[np.uint8]]


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of blocks for a frame size."""
    return min(GRID[0], height), min(GRID[1], width)


def block_sums(frame: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The sum of samples in each block of the grid: uint8 [H, W, 3] → int32 [rows, columns, 3]."""
    rows, columns = block_edges(*frame.shape[:2])
    sums = np.add.reduceat(frame, rows, axis=0, dtype=np.int64)
    return np.add.reduceat(sums, columns, axis=1).astype(np.int32)


def block_edges(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and first column of each block."""
    rows, columns = grid_of(height, width)
    return np.arange(rows) * height // rows, np.arange(columns) * width // columns


def frame_digest(frame: NDArray[np.uint8]) -> str:
    """SHA-256 of a frame's samples in hex."""
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).hexdigest()


def check_whole(whole: int) -> None:
    """A UsageError for a number of whole frames that exceeds a golden file's limit."""
    if not 0 <= whole <= MAX_WHOLE_FRAMES:
        raise UsageError(f"{whole} golden frames is outside 0 to {MAX_WHOLE_FRAMES}")


def make_golden(
    frames: Iterable[NDArray[np.uint8]], contract: ArtifactContract, whole: int = WHOLE_FRAMES
) -> Golden:
    """The golden file of the reference's frames, uint8 [H, W, 3] each, in order.

    whole: how many frames to keep whole, evenly spaced and including both ends.
    """
    check_whole(whole)
    video = contract.video
    count = min(whole, video.frames)
    _check_memory(video.frames, video.height, video.width, count)
    kept = sorted({round(i * (video.frames - 1) / max(count - 1, 1)) for i in range(count)})
    digests, blocks, pictures = [], [], {}
    for index, frame in enumerate(frames):
        digests.append(frame_digest(frame))
        blocks.append(block_sums(frame))
        if index in kept:
            pictures[index] = frame
    grid = list(grid_of(video.height, video.width))
    header = GoldenHeader(
        FORMAT_VERSION, contract.weights_sha256, video.frames, video.width, video.height, digests, kept, grid
    )
    return Golden(header, np.stack(blocks), pictures)


def write_golden(golden: Golden, path: Path) -> int:
    """Write the file whole or not at all; returns its size. The same golden gives the same bytes."""
    header = json.dumps(vars(golden.header), sort_keys=True, separators=(",", ":"))
    members = {
        HEADER: zlib.compress(header.encode(), 9),
        BLOCKS: zlib.compress(golden.blocks.astype("<i4").tobytes(), 9),
    }
    members |= {f"{i:05d}.png": encode_image(frame, FORMATS[".png"]) for i, frame in golden.whole.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    write_atomically(path, buffer.getvalue())
    return len(buffer.getvalue())


def read_golden(path: Path, contract: ArtifactContract) -> Golden:
    """The checked golden file at `path`, for an artifact with this contract.

    An ArtifactError if it is damaged or not a golden file, a VerificationError if it is another video's.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            header = _header(archive)
            _check_owner(path, header, contract)
            shape = (header.frames, *header.grid, 3)
            size = 4 * math.prod(shape)
            if size > MAX_BYTES:
                raise ValueError(f"block sums of {size:,} bytes; at most {MAX_BYTES:,} are allowed")
            blocks = np.frombuffer(_inflate(_member(archive, BLOCKS, size), size), "<i4").reshape(shape)
            limit = 4 * header.width * header.height + (1 << 20)
            whole = {i: _picture(_member(archive, f"{i:05d}.png", limit), header) for i in header.whole}
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        ArithmeticError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        text = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{path}: not a golden file, or damaged ({text}); write it again with pfnr-export --golden"
        ) from None
    if any(frame_digest(frame) != header.sha256[i] for i, frame in whole.items()):
        raise ArtifactError(
            f"{path}: a whole frame does not have its digest; write it again with pfnr-export --golden"
        )
    return Golden(header, blocks.astype(np.int32, copy=False), whole)


def _check_memory(frames: int, height: int, width: int, whole: int) -> None:
    """A UsageError for a video of which no golden file can be read again."""
    if 12 * frames * math.prod(grid_of(height, width)) > MAX_BYTES or 3 * whole * height * width > MAX_BYTES:
        raise UsageError(
            f"a golden file of {frames} frames of {width}x{height}, {whole} of them whole, would take over "
            f"{MAX_BYTES:,} bytes to read; export without one, or with fewer golden frames"
        )


def _check_directory(path: Path) -> None:
    """A ValueError unless the archive's directory is as small as a golden file's: readers load all of it."""
    size = require_regular(path)
    with path.open("rb") as file:
        file.seek(max(0, size - END_BYTES - LOCATOR_BYTES))
        locator, end = (data := file.read())[:-END_BYTES], data[-END_BYTES:]
    entries, length = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if not end.startswith(b"PK\5\6") or locator.startswith(b"PK\6\7"):
        raise ValueError("not a plain ZIP archive, or cut short")
    if entries > MAX_WHOLE_FRAMES + 2 or length > DIRECTORY_BYTES:
        raise ValueError(f"an archive of {entries} members, whose list takes {length:,} bytes")


def _check_owner(path: Path, header: GoldenHeader, contract: ArtifactContract) -> None:
    if header.weights_sha256 != contract.weights_sha256:
        raise VerificationError(
            f"{path}: the golden file of another video: weights {header.weights_sha256[:16]}…, the artifact of "
            f"{contract.weights_sha256[:16]}… ({contract.video.name}); name the one exported with it"
        )
    video = contract.video
    if (header.frames, header.width, header.height) != (video.frames, video.width, video.height):
        raise ArtifactError(f"{path}: not of {video.frames} frames of {video.width}x{video.height}")


def _header(archive: zipfile.ZipFile) -> GoldenHeader:
    text = _inflate(_member(archive, HEADER, MAX_GOLDEN_HEADER), MAX_GOLDEN_HEADER).decode()
    # Before parsing: JSON of many small values takes far more memory than its text. A digest takes 66 characters.
    if text.count("[") > 3 or text.count("{") > 1 or text.count(",") > len(text) // 66 + 2 * MAX_WHOLE_FRAMES:
        raise ValueError("a header of more values than a golden file has")
    value: Any = json.loads(text)
    given = require_fields(value, GoldenHeader)
    if not all(isinstance(given[name], list) for name in ("sha256", "whole", "grid")):
        raise ValueError("sha256, whole and grid must be lists")
    return GoldenHeader(**given)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    found = archive.getinfo(name)
    if found.compress_type != zipfile.ZIP_STORED or found.file_size > limit:
        raise ValueError(f"{name} has {found.file_size:,} bytes; at most {limit:,} are possible")
    try:
        return archive.read(found)
    except OSError as error:  # a place before the file's beginning
        raise ValueError(f"{name} cannot be read ({error.strerror})") from None


def _inflate(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, limit)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"compressed data that is cut short or holds more than {limit:,} bytes")
    return found


def _picture(data: bytes, header: GoldenHeader) -> NDArray[np.uint8]:
    import av

    size = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    if size != (header.width, header.height):  # before FFmpeg allocates memory for it
        raise ValueError(f"a whole frame of {size[0]}x{size[1]}")
    decoder: Any = av.CodecContext.create("png", "r")
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise ValueError(f"a whole frame that cannot be read: {error}") from None
    if len(frames) != 1 or frames[0].format.name != "rgb24":
        raise ValueError("a whole frame that is not one RGB picture")
    picture: NDArray[np.uint8] = frames[0].to_ndarray(format="rgb24")
    if picture.shape != (header.height, header.width, 3):
        raise ValueError(f"a whole frame of shape {list(picture.shape)}")
    return picture
