"""The protobuf wire format, read strictly and without copying: just enough to walk an ONNX file.

A message is a run of fields, each a tag (field number and wire type) and a value: a varint, 4 or 8 fixed bytes, or
a length and that many bytes. Nothing recurses and no length is trusted. The two writers at the end serve to take a
part out of a file and reassemble the rest.

Written by hand, because a playback install has no protobuf package, and protobuf copies what it parses.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# A 2 GB artifact has a few thousand fields; a file with more than this is hostile or foreign.
MAX_FIELDS = 2_000_000
MAX_TEXT_BYTES = 1 << 20


class WireError(ValueError):
    """Bytes that are not a well-formed message; names the problem and the byte."""

    def __init__(self, what: str, position: int) -> None:
        super().__init__(f"{what} at byte {position}")


class Reader:
    """The bytes of one file, and a budget of fields to read from it."""

    __slots__ = ("data", "fields_left")

    def __init__(self, data: bytes | mmap, fields_left: int = MAX_FIELDS) -> None:
        self.data = data
        self.fields_left = fields_left

    def whole(self) -> Span:
        """The whole file as one message."""
        return Span(self, 0, len(self.data))

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """The unsigned varint at `position` and the position after it."""
        value = shift = 0
        data = self.data
        start = position
        while position < end:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    raise WireError("a number of more than 64 bits", start)
                return value, position
            shift += 7
            if shift >= 70:
                raise WireError("a number of more than 64 bits", start)
        raise WireError("the file ends inside a number", start)


class Field(NamedTuple):
    """One field of a message: its number, wire type, and either `value` (a varint) or `span` (bytes)."""

    number: int
    wire: int
    value: int
    span: Span

    def integer(self) -> int:
        """The signed 64-bit integer of a varint field."""
        if self.wire != VARINT:
            raise WireError(f"field {self.number} should be a number", self.span.start)
        return self.value - (1 << 64) if self.value >> 63 else self.value

    def message(self) -> Span:
        """The bytes of a length-delimited field."""
        if self.wire != BYTES:
            raise WireError(f"field {self.number} should hold bytes", self.span.start)
        return self.span

    def text(self) -> str:
        """A length-delimited field as UTF-8 text of at most `MAX_TEXT_BYTES`."""
        span = self.message()
        if len(span) > MAX_TEXT_BYTES:
            raise WireError(f"text of {len(span)} bytes (at most {MAX_TEXT_BYTES} are allowed)", span.start)
        try:
            return bytes(span.reader.data[span.start : span.end]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("text that is not UTF-8", span.start + error.start) from None


class Span:
    """A part of the file, from `start` up to `end`."""

    __slots__ = ("end", "reader", "start")

    def __init__(self, reader: Reader, start: int, end: int) -> None:
        self.reader = reader
        self.start = start
        self.end = end

    def __len__(self) -> int:
        return self.end - self.start

    def fields(self) -> Iterator[Field]:
        """The fields of this message in file order; a WireError where the bytes are invalid."""
        reader, position, end = self.reader, self.start, self.end
        while position < end:
            reader.fields_left -= 1
            if reader.fields_left < 0:
                raise WireError(f"more than {MAX_FIELDS} fields", position)
            at = position
            tag, position = reader.varint(position, end)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise WireError(f"impossible field number {number}", at)
            value, length = 0, 0
            if wire == VARINT:
                value, position = reader.varint(position, end)
            elif wire == BYTES:
                length, position = reader.varint(position, end)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise WireError(f"unsupported wire type {wire}", at)
            if length > end - position:
                raise WireError(f"field {number} needs {length} bytes where {end - position} are left", at)
            yield Field(number, wire, value, Span(reader, position, position + length))
            position += length

    def packed_integers(self) -> Iterator[int]:
        """The signed integers of a packed repeated field."""
        position = self.start
        while position < self.end:
            self.reader.fields_left -= 1
            if self.reader.fields_left < 0:
                raise WireError(f"more than {MAX_FIELDS} fields", position)
            value, position = self.reader.varint(position, self.end)
            yield value - (1 << 64) if value >> 63 else value


def write_varint(number: int, value: int) -> bytes:
    """A field that holds a number ≥ 0."""
    return _varint(number << 3 | VARINT) + _varint(value)


def write_message(number: int, content: bytes | bytearray) -> bytes:
    """A field that holds bytes: text, or a nested message."""
    return write_head(number, len(content)) + content


def write_head(number: int, length: int) -> bytes:
    """What comes before the bytes of such a field."""
    return _varint(number << 3 | BYTES) + _varint(length)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
