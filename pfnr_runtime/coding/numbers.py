"""Whole numbers as bytes: seven bits per byte, the lowest first, the top bit set in all but the last (LEB128)."""

from __future__ import annotations

from pfnr_runtime.errors import CodingError

MOST_BITS = 63


def write_number(value: int) -> bytes:
    """A whole number from 0."""
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_signed(value: int) -> bytes:
    """Any whole number: 0, -1, 1, -2, ... are written as 0, 1, 2, 3, ..."""
    return write_number(value << 1 if value >= 0 else (-value << 1) - 1)


class Bytes:
    """Bytes read from the front; a CodingError where they end too soon."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def byte(self) -> int:
        """One byte, 0 to 255."""
        return self.take(1)[0]

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        if count > self.left():
            raise CodingError(f"coded data ends too soon: {count} bytes are needed and {self.left()} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        """The inverse of `write_number`."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if value >> MOST_BITS or shift > MOST_BITS + 7:
                raise CodingError(f"coded data holds a number of more than {MOST_BITS} bits")
            if byte < 0x80:
                return value

    def signed(self) -> int:
        """The inverse of `write_signed`."""
        value = self.number()
        return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)

    def part(self) -> memoryview:
        """A number of bytes, and these bytes."""
        return self.take(self.number())
