"""Few bytes back to named tensors; `pfnr_runtime.coding.encode` has the layout.

Nothing is allocated that the shapes, which the caller gives, do not account for.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.header import RAW, Coded, Header, read_header
from pfnr_runtime.coding.laplace import ESCAPE, SYMBOLS, largest, symbol_bits
from pfnr_runtime.coding.numbers import Bytes
from pfnr_runtime.coding.places import Integers
from pfnr_runtime.coding.quantised import LARGEST, Quantised, Shapes, Tensor
from pfnr_runtime.coding.rans import RunDecoder
from pfnr_runtime.coding.scale_model import ScaleModel
from pfnr_runtime.errors import CodingError

MOST_WEIGHTS = 1 << 26  # of all tensors together
_DIFFERENCES = np.array([(i + 1) // 2 * (1 if i % 2 else -1) for i in range(SYMBOLS)], np.int64)


def decode_tensors(data: bytes | memoryview, shapes: Shapes) -> dict[str, Tensor]:
    """The tensors of these names and shapes; a CodingError where the bytes are not theirs, or damaged."""
    return _read(data, shapes, measure=False)[0]


def coded_sizes(data: bytes | memoryview, shapes: Shapes) -> dict[str, float]:
    """About what each tensor takes in bytes, without its header."""
    return _read(data, shapes, measure=True)[1]


def _read(
    data: bytes | memoryview, shapes: Shapes, *, measure: bool
) -> tuple[dict[str, Tensor], dict[str, float]]:
    if sum(map(math.prod, shapes.values())) > MOST_WEIGHTS:
        raise CodingError(f"more than {MOST_WEIGHTS} coded weights, which no decoder has")
    source = Bytes(data)
    headers = {name: read_header(source, shapes[name]) for name in sorted(shapes)}
    reader = _Reader(source, headers, shapes, measure)
    found = {name: reader.tensor(name) for name in headers}
    reader.finish()
    return found, reader.sizes


class _Reader:
    """The parts of a stream after its headers, read tensor by tensor.

    measure: whether to count what symbols take. sizes: bytes by name so far, of symbols only if they are counted.
    """

    def __init__(self, source: Bytes, headers: dict[str, Header], shapes: Shapes, measure: bool) -> None:
        self._headers, self._shapes, self._measure = headers, shapes, measure
        self._escapes = Bytes(source.part())
        packed = source.part()
        raw = sum(4 * math.prod(shapes[name]) for name, header in headers.items() if header.kind == RAW)
        self._raw, self._raw_share = _inflate(packed, raw), len(packed) / raw if raw else 0.0
        coded = [header.coded for header in headers.values() if header.coded is not None]
        low = sum(tensor.shift * tensor.size for tensor in coded)
        self._low = np.unpackbits(np.frombuffer(source.take((low + 7) // 8), np.uint8), count=low)
        if not coded and source.left():
            raise CodingError(f"{source.left()} bytes after the last coded weight")
        self._symbols = (
            RunDecoder(source.take(source.left()), sum(tensor.size for tensor in coded)) if coded else None
        )
        self.sizes: dict[str, float] = {}

    def tensor(self, name: str) -> Tensor:
        """The next tensor."""
        shape, header = self._shapes[name], self._headers[name]
        size = math.prod(shape)
        self.sizes[name] = 0.0
        if header.kind == RAW:
            self.sizes[name] = 4 * size * self._raw_share
            own, self._raw = self._raw[: 4 * size], self._raw[4 * size :]
            return np.frombuffer(own, "<f4").astype(np.float32).reshape(shape)
        values = np.zeros(size, np.int32) if header.coded is None else self._coded(name, header.coded)
        return Quantised(values.reshape(shape), header.exponent)

    def finish(self) -> None:
        """A CodingError where anything is left."""
        if self._symbols is not None:
            self._symbols.finish()
        if self._escapes.left():
            raise CodingError("more escaped weights than symbols that ask for them")

    def _coded(self, name: str, coded: Coded) -> NDArray[np.int32]:
        assert self._symbols is not None
        shift, size = coded.shift, coded.size
        values = np.zeros(size, np.int32)
        model, bits = ScaleModel(coded.settings), float(shift * size)
        for plane in coded.settings.view.planes():
            classes, expected = model.expect(plane)
            symbols = self._symbols.run(classes)
            if self._measure:
                bits += float(symbol_bits()[classes, symbols].sum(dtype=np.float64))
            differences = self._differences(classes, symbols)
            own = differences + expected
            values[plane.places] = own
            model.learn(plane, own, differences)
        self.sizes[name] = bits / 8
        if shift:
            bits_of, self._low = self._low[: shift * size], self._low[shift * size :]
            low = bits_of.reshape(size, shift) @ (1 << np.arange(shift - 1, -1, -1))
            wide = (values.astype(np.int64) << shift) + low - (1 << shift >> 1)
            values = np.clip(wide, -LARGEST - 1, LARGEST + 1).astype(np.int32)
        if size and max(-int(values.min()), int(values.max())) > LARGEST:
            raise CodingError(f"{name}: a coded weight of more than {LARGEST} steps")
        return coded.slices.spread(values)

    def _differences(self, classes: Integers, symbols: NDArray[np.uint8]) -> Integers:
        differences = _DIFFERENCES.take(symbols)
        for i in (symbols == ESCAPE).nonzero()[0]:
            beyond, negative = divmod(self._escapes.number(), 2)
            if beyond > LARGEST * 2:
                raise CodingError(f"an escaped weight of {beyond} steps")
            magnitude = beyond + 1 + int(largest()[classes[i]])
            differences[i] = -magnitude if negative else magnitude
        return differences


def _inflate(packed: memoryview, size: int) -> bytes:
    """A zlib stream of exactly so many bytes; never takes more memory than that."""
    if not size:
        if packed:
            raise CodingError("raw data without a tensor that it belongs to")
        return b""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, size)
        # One more byte may be asked for: the end of the stream can lie past the last byte that it gives.
        more = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise CodingError(f"raw data that is damaged ({error})") from None
    if len(raw) != size or more or not inflater.eof or inflater.unused_data:
        raise CodingError(f"raw data of another size than the {size} bytes that its tensors take")
    return raw
