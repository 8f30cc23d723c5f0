"""The packed file's bytes, read without trust: the .onnx comes out whole and proved, or an ArtifactError.

Layout (numbers as in `pfnr_runtime.coding.numbers`):

    "pfnv", the version as a byte
    SHA-256 of the .onnx, 32 bytes
    size of the .onnx, a number
    size of the text, a number; then the text's deflated bytes, with their length in front
    the learned tensors to the end, as `pfnr_runtime.coding.encode` writes them, called 0000, 0001, ...

The text, deflated with the version's dictionary (`dictionary_N.bin`), holds the shape of every learned tensor, a
derivation and its patches for every hole of the skeleton, and the skeleton.

In version 2 the .onnx ends with its seal (`pfnr_runtime.artifact.onnx.seal`), which the skeleton lacks; in
version 1 it has none.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.onnx.seal import SEAL_BYTES, seal, without_seal
from pfnr_runtime.artifact.onnx.wire import WireError
from pfnr_runtime.artifact.packed.derivations import (
    MOST_TABLES,
    TABLES,
    Derivation,
    Floats,
    read_derivation,
    write_derivation,
)
from pfnr_runtime.artifact.packed.signature import MAGIC
from pfnr_runtime.artifact.packed.skeleton import Hole, find_holes, put_together
from pfnr_runtime.coding.decode import coded_sizes, decode_tensors
from pfnr_runtime.coding.encode import encode_tensors
from pfnr_runtime.coding.numbers import Bytes, write_number
from pfnr_runtime.coding.quantised import Quantised, Tensor
from pfnr_runtime.errors import ArtifactError, CodingError
from pfnr_runtime.system.regular_file import require_regular

UNSEALED, SEALED = 1, 2
MOST_BYTES = 1 << 28  # of an .onnx that comes out of a packed file
MOST_RANK = 8
# A text is a graph, a few thousand bytes, and tensors of whole numbers; deflate could make 1,032 bytes of one.
LEAST_TEXT, TEXT_A_BYTE = 1 << 20, 32
DIGEST_BYTES = 32


@dataclass(frozen=True)
class Fill:
    """What fills a hole: a derivation, and patches where its values are not the file's, by place."""

    derivation: Derivation
    patches: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Unpacked:
    """model: the .onnx. sha256: its digest in hex."""

    model: bytes
    sha256: str


def write_packed(model: bytes, skeleton: bytes, sources: Sequence[Tensor], fills: Sequence[Fill]) -> bytes:
    """A packed file's bytes. skeleton: with the model's seal, if it has one. sources: the learned tensors that the
    derivations name.
    """
    version = UNSEALED if without_seal(model) is None else SEALED
    if version == SEALED:
        skeleton = skeleton[:-SEAL_BYTES]
    text = write_number(len(sources)) + b"".join(map(_shape_bytes, sources))
    text += write_number(len(fills)) + b"".join(map(_fill_bytes, fills)) + skeleton
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=dictionary(version))
    squeezed = squeezer.compress(text) + squeezer.flush()
    head = MAGIC + bytes([version]) + hashlib.sha256(model).digest() + write_number(len(model))
    head += write_number(len(text)) + write_number(len(squeezed)) + squeezed
    return head + encode_tensors({_name(i): source for i, source in enumerate(sources)})


def read_packed(path: Path) -> Unpacked:
    """The .onnx that a packed file holds; an ArtifactError if there is anything wrong with the file."""
    try:
        size = require_regular(path)
        if size > MOST_BYTES:
            raise ArtifactError(f"{path}: {size} bytes; a packed video has at most {MOST_BYTES}; pack it again")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and the disk") from None
    try:
        return unpack(data)
    except (CodingError, WireError, zlib.error) as error:
        raise ArtifactError(
            f"{path}: not a packed video, or a damaged one: {error}; copy or pack it again"
        ) from None


def unpack(data: bytes) -> Unpacked:
    """As `read_packed`, of the file's bytes; a CodingError, WireError or zlib.error says what is wrong."""
    contents = _read(data)
    tensors = decode_tensors(contents.coded, contents.shapes)
    learned = [_values(tensors.pop(name)) for name in sorted(tensors)]  # never all of them twice in memory
    filled = [_filled(fill, learned, hole) for fill, hole in zip(contents.fills, contents.holes, strict=True)]
    del learned
    model = put_together(contents.skeleton, filled)
    del filled
    if contents.version == SEALED:
        model = seal(model)
    if len(model) != contents.size or hashlib.sha256(model).digest() != contents.digest:
        raise CodingError("what comes out is not what was packed")
    return Unpacked(model, contents.digest.hex())


def parts(data: bytes) -> list[tuple[str, float]]:
    """What each part of a packed file takes in bytes. Learned tensors are called by what is made from them."""
    contents = _read(data)
    sizes = coded_sizes(contents.coded, contents.shapes)
    called: dict[int, str] = {}
    for fill, hole in zip(contents.fills, contents.holes, strict=True):
        for index in fill.derivation.learned():
            called.setdefault(index, hole.name if hole.name not in called.values() else f"{hole.name} ({index})")
    return [
        ("header", float(len(data) - contents.text_bytes - len(contents.coded))),
        ("graph and contract", float(contents.text_bytes)),
        *((called.get(int(name), f"tensor {name}"), taken) for name, taken in sizes.items()),
        ("settings of the coder", len(contents.coded) - math.fsum(sizes.values())),
    ]


@dataclass(frozen=True)
class _Contents:
    """A packed file taken apart, its text inflated and its tensors still coded."""

    version: int
    digest: bytes
    size: int
    text_bytes: int
    shapes: dict[str, tuple[int, ...]]
    skeleton: bytes
    fills: list[Fill]
    holes: list[Hole]
    coded: memoryview


def _read(data: bytes) -> _Contents:
    source = Bytes(data)
    if bytes(source.take(min(len(MAGIC), source.left()))) != MAGIC:
        raise CodingError("it does not begin as a packed video does")
    if (version := source.byte()) not in (UNSEALED, SEALED):
        raise CodingError(
            f"version {version}, and this pfnr reads versions {UNSEALED} and {SEALED}: install a matching pfnr"
        )
    digest = bytes(source.take(DIGEST_BYTES))
    size, text_size = source.number(), source.number()
    if max(size, text_size) > MOST_BYTES:
        raise CodingError(f"a model of {max(size, text_size)} bytes; at most {MOST_BYTES} are allowed")
    squeezed = source.part()
    if text_size > LEAST_TEXT + TEXT_A_BYTE * len(squeezed):
        raise CodingError(f"a text of {text_size} bytes in {len(squeezed)}")
    text = Bytes(_inflated(squeezed, text_size, version))
    shapes = {_name(i): _read_shape(text) for i in range(_bounded(text.number(), text.left()))}
    skeleton, fills, holes = _read_fills(text)
    if len(skeleton) + sum(4 * hole.size for hole in holes) > size:
        raise CodingError(f"tensors that a model of {size} bytes has no room for")
    return _Contents(
        version, digest, size, len(squeezed), shapes, skeleton, fills, holes, source.take(source.left())
    )


@lru_cache(maxsize=2)
def dictionary(version: int) -> bytes:
    """What the text of a version is deflated with: never changed."""
    return Path(__file__).with_name(f"dictionary_{version}.bin").read_bytes()


def _name(index: int) -> str:
    return f"{index:04d}"


def _shape_bytes(tensor: Tensor) -> bytes:
    shape = tensor.integers.shape if isinstance(tensor, Quantised) else tensor.shape
    return write_number(len(shape)) + b"".join(map(write_number, shape))


def _read_shape(text: Bytes) -> tuple[int, ...]:
    rank = text.number()
    if rank > MOST_RANK:
        raise CodingError(f"a learned tensor of {rank} axes")
    return tuple(text.number() for _ in range(rank))


def _values(tensor: Tensor) -> Floats:
    return tensor.values() if isinstance(tensor, Quantised) else tensor


def _fill_bytes(fill: Fill) -> bytes:
    written, last = write_derivation(fill.derivation) + write_number(len(fill.patches)), 0
    for place, value in fill.patches:
        written += write_number(place - last) + value
        last = place
    return written


def _read_fills(text: Bytes) -> tuple[bytes, list[Fill], list[Hole]]:
    """The skeleton, and what fills its holes, in their order."""
    fills = []
    for _ in range(_bounded(text.number(), text.left())):
        derivation, patches, place = read_derivation(text), [], 0
        for _ in range(_bounded(text.number(), text.left())):
            place += text.number()
            patches.append((place, bytes(text.take(4))))
        fills.append(Fill(derivation, tuple(patches)))
    if (tables := sum(fill.derivation.kind in TABLES for fill in fills)) > MOST_TABLES:
        raise CodingError(f"{tables} tables to compute; at most {MOST_TABLES} are allowed")
    skeleton = bytes(text.take(text.left()))
    holes = find_holes(skeleton)
    if len(holes) != len(fills):
        raise CodingError(f"{len(fills)} derivations for {len(holes)} tensors")
    return skeleton, fills, holes


def _bounded(count: int, left: int) -> int:
    """A count of things that take a byte each at least."""
    if count > left:
        raise CodingError(f"{count} entries in {left} bytes")
    return count


def _inflated(squeezed: memoryview, size: int, version: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=dictionary(version))
    text = inflater.decompress(squeezed, size + 1)
    if len(text) != size or inflater.unconsumed_tail or inflater.unused_data or not inflater.eof:
        raise CodingError(f"a text of another size than {size} bytes")
    return text


def _filled(fill: Fill, learned: Sequence[Floats], hole: Hole) -> Floats:
    tensor = fill.derivation.build(learned, hole.shape)
    if not fill.patches:
        return tensor
    places = np.array([place for place, _ in fill.patches], np.int64)
    if places.max() >= hole.size:
        raise CodingError(f"{hole.name}: a patch at place {places.max()} of {hole.size}")
    bits: NDArray[np.uint32] = tensor.reshape(-1).copy().view(np.uint32)
    bits[places] = np.frombuffer(b"".join(value for _, value in fill.patches), "<u4")
    return bits.view(np.float32).reshape(hole.shape)
