"""Named tensors as few bytes.

Layout, in this order (numbers as in `pfnr_runtime.coding.numbers`):

    headers     one per tensor, in the order of their names (`pfnr_runtime.coding.header`)
    escapes     length in bytes, then the numbers of symbols that escape, in coding order
    raw         length in bytes, then a zlib stream of all raw tensors, float32 little-endian
    low bits    of the tensors with a shift, the highest bit of a byte first
    symbols     one rANS stream to the end (`pfnr_runtime.coding.rans`)

Names and shapes are not in the stream: whoever reads it knows them.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.header import CODED, RAW, ZERO, Coded, Header, write_header
from pfnr_runtime.coding.laplace import ESCAPE, largest
from pfnr_runtime.coding.numbers import write_number
from pfnr_runtime.coding.places import Integers
from pfnr_runtime.coding.quantised import Quantised, Tensors
from pfnr_runtime.coding.rans import encode
from pfnr_runtime.coding.scale_model import ScaleModel
from pfnr_runtime.coding.search import choose_settings
from pfnr_runtime.coding.slices import KERNEL_AXES, choose_slices

MOST_MEAN = 16  # with magnitudes above this on average, the low bits lie apart
ZLIB_LEVEL = 9


def encode_tensors(tensors: Tensors) -> bytes:
    """The tensors as bytes, always the same for the same tensors. A float32 array goes in as it is."""
    headers, escapes, raw = bytearray(), bytearray(), bytearray()
    low = [np.empty(0, np.uint8)]
    runs: list[tuple[Integers, Integers]] = []
    for name in sorted(tensors):
        tensor = tensors[name]
        if not isinstance(tensor, Quantised):
            headers += write_header(Header(RAW))
            raw += np.ascontiguousarray(tensor, "<f4").tobytes()
            continue
        values = tensor.integers.reshape(-1).astype(np.int64)
        if not values.any():
            headers += write_header(Header(ZERO, tensor.exponent))
            continue
        slices = choose_slices(values, tensor.integers.shape)
        high, shift, bits = _split_bits(slices.take(values))
        low.append(bits)
        settings = choose_settings(high, slices.kept_shape, kernels=tensor.integers.ndim == KERNEL_AXES)
        headers += write_header(Header(CODED, tensor.exponent, Coded(slices, shift, settings)))
        model = ScaleModel(settings)
        for plane in settings.view.planes():
            classes, expected = model.expect(plane)
            own = high[plane.places]
            runs.append((classes, _symbols(classes, own - expected, escapes)))
            model.learn(plane, own, own - expected)
    squeezed = zlib.compress(bytes(raw), ZLIB_LEVEL) if raw else b""
    apart = write_number(len(escapes)) + escapes + write_number(len(squeezed)) + squeezed
    symbols = encode(runs) if runs else b""
    return bytes(headers + apart + np.packbits(np.concatenate(low)).tobytes() + symbols)


def coded_bits(tensors: Tensors) -> int:
    """The size in bits of what `encode_tensors` gives, exactly."""
    return 8 * len(encode_tensors(tensors))


def _split_bits(values: Integers) -> tuple[Integers, int, NDArray[np.uint8]]:
    """High parts, how many low bits were taken off, and these, most significant first, uint8 of 0 and 1."""
    shift = 0
    while int(np.abs(values).sum()) >> shift > MOST_MEAN * values.size:
        shift += 1
    half = 1 << shift >> 1
    high = (values + half) >> shift
    low = values + half - (high << shift)
    return high, shift, (low[:, None] >> np.arange(shift - 1, -1, -1) & 1).astype(np.uint8).reshape(-1)


def _symbols(classes: Integers, differences: Integers, escapes: bytearray) -> Integers:
    """The symbol of every difference, int64 [n]. Those without one become escapes, and are written there."""
    magnitudes = np.abs(differences)
    symbols = 2 * magnitudes - (differences > 0)
    beyond = magnitudes - largest()[classes] - 1
    for i in (beyond >= 0).nonzero()[0]:
        escapes += write_number(int(beyond[i]) << 1 | int(differences[i] < 0))
        symbols[i] = ESCAPE
    return symbols
