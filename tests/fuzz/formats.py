"""Mutations within a container, whose lengths are put right: safetensors, ONNX, ZIP."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

from fuzz.mutate import BYTES, NUMBERS, Chance, mutate_bytes, mutate_json, to_json
from pfnr_runtime.artifact.onnx.seal import seal
from pfnr_runtime.artifact.onnx.wire import BYTES as LENGTH_DELIMITED
from pfnr_runtime.artifact.onnx.wire import VARINT, Reader, WireError, write_message, write_varint

Parts = tuple[dict[str, Any], bytes]  # of a safetensors file: its header and its data
MODEL, ONE_IN_RAW = "model", 0.2
# Messages within messages of an ONNX file, by kind and field number.
NESTED = {
    ("model", 7): "graph", ("model", 8): "opset", ("model", 14): "pair",
    ("graph", 1): "node", ("graph", 5): "tensor",
    ("graph", 11): "value", ("graph", 12): "value", ("node", 5): "attribute", ("attribute", 5): "tensor",
    ("value", 2): "type", ("type", 1): "tensor type", ("tensor type", 2): "shape", ("shape", 1): "side",
}  # fmt: skip
OPERATORS = [b"Conv", b"Expand", b"Tile", b"Pad", b"Resize", b"ConvTranspose", b"MatMul", b"Reshape", b"Slice",
             b"Range",
             b"ConstantOfShape", b"Gather", b"Loop", b"If", b"Concat", b"Sum",
             b"Cast", b"Shape", b"Split"]  # fmt: skip


def safetensors_parts(data: bytes) -> Parts:
    """Header and data of a valid file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def safetensors_bytes(header: Any, body: bytes) -> bytes:
    """A file of a header, whatever it is, and data."""
    text = to_json(header)
    return struct.pack("<Q", len(text)) + text + body


def mutate_safetensors(data: bytes, chance: Chance, fix: Callable[[Parts], Parts] = lambda parts: parts) -> bytes:
    """A change in the header, in the JSON text within its metadata, or in the data. fix: puts digests right."""
    if chance.random() < ONE_IN_RAW:
        return mutate_bytes(data, chance)
    header, body = safetensors_parts(data)
    metadata = header.get("__metadata__")
    match chance.randrange(3):
        case 0 if metadata:
            key = chance.choice(sorted(metadata))
            changed = to_json(mutate_json(json.loads(metadata[key]), chance))
            metadata[key] = changed.decode("utf-8", "surrogatepass")
        case 1:
            header = mutate_json(header, chance)
        case _:
            body = mutate_bytes(body, chance)
    if chance.random() < 0.7:
        try:
            header, body = fix((header, body))
        except Exception:  # nothing is left that a digest could be of
            return safetensors_bytes(header, body)
    return safetensors_bytes(header, body)


def mutate_onnx(data: bytes, chance: Chance) -> bytes:
    """A field of the model changed, dropped, repeated or moved, and most of the time a fitting seal."""
    if chance.random() < ONE_IN_RAW:
        return mutate_bytes(data, chance)
    changed = data
    for _ in range(chance.choice((1, 1, 2, 3))):
        try:
            changed = _mutate_message(changed, MODEL, chance)
        except WireError:
            return mutate_bytes(data, chance)
    return seal(changed) if chance.random() < 0.9 else changed


def _mutate_message(data: bytes, kind: str, chance: Chance) -> bytes:
    fields = []
    for item in Reader(data).whole().fields():
        content = data[item.span.start : item.span.end]
        if kind == MODEL and item.number == 14 and b"pfnr_sha256" in content:
            continue  # the seal, which is made anew
        fields.append((item.number, item.wire, item.value, content))
    if not fields:
        return chance.choice(BYTES)
    at = chance.randrange(len(fields))
    number, wire, value, content = fields[at]
    if (inner := NESTED.get((kind, number))) is not None and chance.random() < 0.85:
        fields[at] = (number, wire, value, _mutate_message(content, inner, chance))
        return _joined(fields)
    match chance.randrange(7):
        case 0:
            del fields[at]
        case 1:
            fields.insert(chance.randrange(len(fields) + 1), fields[at])
        case 2:
            fields.insert(chance.randrange(len(fields)), fields.pop(at))
        case 3 if wire == VARINT:
            fields[at] = (number, wire, chance.choice(NUMBERS) % (1 << 64), content)
        case 4 if kind == "node" and number == 4:
            fields[at] = (number, wire, value, chance.choice(OPERATORS))
        case 5 if kind in ("node", "value") and number in (1, 2):  # a name of another place
            others = [field[3] for field in fields if field[0] in (1, 2, 3)]
            fields[at] = (number, wire, value, chance.choice(others))
        case _:
            if wire == VARINT:
                fields[at] = (number, wire, max(0, value + chance.choice((-1, 1, 8))), content)
            elif kind == "pair" and content.startswith(b"{"):
                fields[at] = (number, wire, value, to_json(mutate_json(json.loads(content), chance)))
            else:
                fields[at] = (number, wire, value, mutate_bytes(content, chance))
    return _joined(fields)


def _joined(fields: list[tuple[int, int, int, bytes]]) -> bytes:
    made = bytearray()
    for number, wire, value, content in fields:
        if wire == VARINT:
            made += write_varint(number, value)
        elif wire == LENGTH_DELIMITED:
            made += write_message(number, content)
        else:
            made += bytes([number << 3 & 0x7F | wire]) + content
    return bytes(made)


def mutate_zip(data: bytes, chance: Chance) -> bytes:
    """A part of an archive changed, dropped, repeated or renamed; JSON parts as JSON; checksums fit."""
    if chance.random() < ONE_IN_RAW:
        return mutate_bytes(data, chance)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(info, archive.read(info)) for info in archive.infolist()]
    at = chance.randrange(len(parts))
    info, content = parts[at]
    match chance.randrange(6):
        case 0:
            del parts[at]
        case 1:
            parts.append(parts[at])
        case 2:
            parts[at] = (zipfile.ZipInfo(info.filename + chance.choice(("x", "/", "\\..", "é"))), content)
        case _ if content[:1] == b"{":
            parts[at] = (info, to_json(mutate_json(json.loads(content), chance)))
        case _:
            parts[at] = (info, mutate_bytes(content, chance))
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
        warnings.simplefilter("ignore")  # of a name given twice
        for info, content in parts:
            archive.writestr(info.filename, content, info.compress_type)
    return made.getvalue()
