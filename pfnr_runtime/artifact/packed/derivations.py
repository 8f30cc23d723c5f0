"""How a stored tensor of a decoder is made from what its session learned: a closed list, one function each.

A derivation is a kind, whole numbers and real numbers. What it gives is the same bits on every machine: values
are copied, or are sums that float64 holds exactly, or come from `pfnr_runtime.artifact.packed.sine`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.packed.sine import LARGEST_ANGLE, cosine_rows, fourier_matrix, time_rows
from pfnr_runtime.coding.numbers import Bytes, write_number
from pfnr_runtime.coding.quantised import step_exponent
from pfnr_runtime.errors import CodingError

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

SOURCE, SUBPIXELS, DIAGONAL, REPEATED, TIME, STEM, FOURIER, COSINES, RAMP, PLACES = range(10)

EXACT = float(1 << 53)
MOST_COPIES = 1 << 12
MOST_LEVELS = 256
MOST_GRID = 24
MOST_SIDE = 1 << 16
MOST_TABLE = 1 << 23  # values of a table of time, as of 160 inputs for 50,000 frames
MOST_SUMS = 1 << 25  # of a table of the stem
# Kinds that compute a table; a file has at most so many of them, since each may take a second.
TABLES, MOST_TABLES = frozenset({TIME, STEM, FOURIER, COSINES, PLACES}), 16


@dataclass(frozen=True)
class Derivation:
    """kind: a key of `KINDS`. numbers, reals: as many as that kind has."""

    kind: int
    numbers: tuple[int, ...]
    reals: tuple[float, ...] = ()

    def learned(self) -> tuple[int, ...]:
        """Numbers of the learned tensors that it takes."""
        if self.kind in (TIME, FOURIER, COSINES, RAMP):
            return ()
        if self.kind == STEM:
            return tuple(number - 1 for number in self.numbers[2:] if number)
        return self.numbers[:1]

    def build(self, sources: Sequence[Floats], shape: Shape) -> Floats:
        """The tensor, float32 of this shape, from the learned tensors. A CodingError where they do not fit."""
        made = KINDS[self.kind].build(sources, self.numbers, self.reals, shape)
        if made.size != math.prod(shape):
            raise CodingError(f"a tensor of {made.size} values where the shape {list(shape)} is needed")
        return np.ascontiguousarray(made, np.float32).reshape(shape)


@dataclass(frozen=True)
class Kind:
    """What a kind takes. numbers, reals: how many; build: see `Derivation.build`."""

    numbers: int
    reals: int
    build: Callable[[Sequence[Floats], tuple[int, ...], tuple[float, ...], Shape], NDArray[np.floating]]


def write_derivation(derivation: Derivation) -> bytes:
    """The kind (a byte), its whole numbers, its real numbers (float64, little-endian)."""
    numbers = b"".join(map(write_number, derivation.numbers))
    return bytes([derivation.kind]) + numbers + struct.pack(f"<{len(derivation.reals)}d", *derivation.reals)


def read_derivation(source: Bytes) -> Derivation:
    """The inverse of `write_derivation`."""
    kind = source.byte()
    if kind not in KINDS:
        raise CodingError(f"a derivation of kind {kind}; 0 to {len(KINDS) - 1} are known")
    numbers = tuple(source.number() for _ in range(KINDS[kind].numbers))
    reals = struct.unpack(f"<{KINDS[kind].reals}d", source.take(8 * KINDS[kind].reals))
    if not all(map(math.isfinite, reals)):
        raise CodingError("a derivation from a number that is not finite")
    return Derivation(kind, numbers, reals)


def _source(sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape) -> Floats:
    """(source): a learned tensor as it is, whatever its shape."""
    return _learned(sources, numbers[0])


def _subpixels(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> Floats:
    """(source, r): rows in the order (r², C), where the learned tensor has them as (C, r²)."""
    tensor, groups = _learned(sources, numbers[0]), _copies(numbers[1])
    if not tensor.ndim or tensor.shape[0] % groups:
        raise CodingError(f"a tensor of shape {list(tensor.shape)} does not fall into {groups} sub-pixels")
    rest = tensor.shape[1:]
    return tensor.reshape(-1, groups, *rest).swapaxes(0, 1).reshape(tensor.shape)


def _diagonal(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> Floats:
    """(source, r): r² copies of a matrix along the diagonal, zeros elsewhere."""
    matrix, copies = _learned(sources, numbers[0]), _copies(numbers[1])
    if matrix.ndim != 2 or matrix.size * copies**2 != math.prod(shape):
        raise CodingError(f"{copies} copies of a tensor of shape {list(matrix.shape)} do not fill {list(shape)}")
    rows, columns = matrix.shape
    made = np.zeros((copies, rows, copies, columns), np.float32)
    made[np.arange(copies), :, np.arange(copies), :] = matrix
    return made


def _repeated(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> Floats:
    """(source, r): r² copies one after another."""
    tensor, copies = _learned(sources, numbers[0]), _copies(numbers[1])
    if tensor.size * copies != math.prod(shape):
        raise CodingError(f"{copies} copies of a tensor of shape {list(tensor.shape)} do not fill {list(shape)}")
    return np.tile(tensor.reshape(-1), copies)


def _time(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> NDArray[np.float64]:
    """(levels, grid; base, scalar): the time table of as many frames as the shape has rows."""
    if len(shape) != 2:
        raise CodingError(f"a time table of shape {list(shape)}")
    return _time_table(shape[0], numbers, reals)


def _cosines(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> NDArray[np.float64]:
    """(grid): the first cosines of time, as many frames and cosines as the shape has rows and columns."""
    if len(shape) != 2 or max(shape) > MOST_SIDE or not 1 <= numbers[0] <= MOST_GRID:
        raise CodingError(f"cosines of time of shape {list(shape)} on a grid of 2^-{numbers[0]}")
    if math.prod(shape) > MOST_TABLE:
        raise CodingError(f"cosines of time of shape {list(shape)}; at most {MOST_TABLE} values are allowed")
    return cosine_rows(shape[0], shape[1], numbers[0])


def _places(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> NDArray[np.float64]:
    """(path, grid, places' grid): cosines of time times a path, rounded, for as many frames as there are rows."""
    path = _learned(sources, numbers[0])
    if len(shape) != 2 or path.ndim != 2 or path.shape[0] != shape[1] or not 1 <= numbers[2] <= MOST_GRID:
        raise CodingError(f"places of shape {list(shape)} from a path of shape {list(path.shape)}")
    cosines = _cosines(sources, numbers[1:2], (), (shape[0], path.shape[1])).astype(np.float32)
    return np.rint(_exact_sums(cosines, path, None) * 2.0 ** numbers[2]) / 2.0 ** numbers[2]


def _ramp(sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape) -> Floats:
    """(): 0, 1, 2 and so on."""
    if math.prod(shape) > MOST_SIDE:
        raise CodingError(f"a ramp of shape {list(shape)}")
    return np.arange(math.prod(shape), dtype=np.float32)


def _stem(sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape) -> Floats:
    """(levels, grid, weight, bias, weight, bias; base, scalar): the stem's first layer, or both, for every frame.

    A layer is ReLU(rows · Wᵀ + b), rounded once. Each weight and bias is a source's number plus 1, or 0 where
    there is none.
    """
    if len(shape) != 2:
        raise CodingError(f"a table of the stem of shape {list(shape)}")
    rows = _time_table(shape[0], numbers, reals).astype(np.float32)
    for weight, bias in (numbers[2:4], numbers[4:6]):
        if weight:
            offset = _learned(sources, bias - 1) if bias else None
            rows = _layer(rows, _learned(sources, weight - 1), offset)
    return rows


def _fourier(
    sources: Sequence[Floats], numbers: tuple[int, ...], reals: tuple[float, ...], shape: Shape
) -> NDArray[np.float64]:
    """(which, rows, columns, stride, negative rows in, out): a matrix of a Fourier block's real products."""
    which, rows, columns, stride, *placed = numbers
    H, W, m1, m2 = rows * stride, columns * stride, rows // 2, columns // 2
    sizes = {0: (2 * m2, columns), 1: (4 * m1, 2 * rows), 2: (2 * H, 8 * m1), 3: (W, 2 * m2)}
    if max(numbers) > MOST_SIDE or min(rows, columns, stride) < 1 or sizes.get(which) != shape:
        raise CodingError(f"a Fourier matrix ({', '.join(map(str, numbers))}) of shape {list(shape)}")
    return fourier_matrix(which, rows, columns, stride, (placed[0], placed[1]))


def _layer(rows: Floats, weight: Floats, bias: Floats | None) -> Floats:
    """ReLU(rows · Wᵀ + b) in float64, rounded once; a CodingError unless no sum can be inexact in any order."""
    if (
        weight.ndim != 2
        or weight.shape[1] != rows.shape[1]
        or (bias is not None and bias.shape != weight.shape[:1])
    ):
        raise CodingError(f"a layer of shape {list(weight.shape)} for rows of {rows.shape[1]} values")
    return np.maximum(_exact_sums(rows, weight, bias), 0).astype(np.float32)


def _exact_sums(rows: Floats, weight: Floats, bias: Floats | None) -> NDArray[np.float64]:
    """rows · Wᵀ + b; a CodingError unless float64 holds every sum exactly."""
    if len(rows) * len(weight) > MOST_SUMS:
        raise CodingError(f"a table of {len(rows)} rows of {len(weight)} values; {MOST_SUMS} in all are allowed")
    used = weight.any(axis=0)
    rows, weight = rows[:, used], weight[:, used]
    if weight.size and not exact_products(rows, weight, bias):
        raise CodingError("a table whose sums float64 does not hold exactly")
    sums: NDArray[np.float64] = rows.astype(np.float64) @ weight.astype(np.float64).T
    return sums if bias is None else sums + bias.astype(np.float64)


def exact_products(rows: Floats, weight: Floats, bias: Floats | None) -> bool:
    """Whether every sum of products is a whole number of steps below 2^53, so exact in any order of summing."""
    step = step_exponent(rows) + step_exponent(weight)
    most = float(np.abs(rows).max(initial=0)) * float(np.abs(weight).astype(np.float64).sum(axis=1).max(initial=0))
    if bias is not None and bias.any():
        step = min(step, step_exponent(bias))
        most += float(np.abs(bias).max())
    return most * 2.0**-step < EXACT


def _time_table(frames: int, numbers: tuple[int, ...], reals: tuple[float, ...]) -> NDArray[np.float64]:
    levels, grid, (base, scalar) = numbers[0], numbers[1], reals
    if not (1 <= levels <= MOST_LEVELS and grid <= MOST_GRID and 1 < base <= 10 and 0 <= scalar <= 1):
        raise CodingError(f"a time table of {levels} levels, base {base:g} and scalar {scalar:g}")
    if 4 * levels * frames > MOST_TABLE:
        raise CodingError(f"a time table of {frames} frames; at most {MOST_TABLE} values are allowed")
    if math.pi * base ** (levels - 1) >= LARGEST_ANGLE:
        raise CodingError(f"a time table whose angles pass {LARGEST_ANGLE:g}")
    return time_rows(frames, scalar, base, levels, grid)


def _learned(sources: Sequence[Floats], index: int) -> Floats:
    if index >= len(sources):
        raise CodingError(f"learned tensor {index} of {len(sources)}")
    return sources[index]


def _copies(stride: int) -> int:
    if not 1 <= stride * stride <= MOST_COPIES:
        raise CodingError(f"a stride of {stride}")
    return stride * stride


KINDS = {
    SOURCE: Kind(1, 0, _source),
    SUBPIXELS: Kind(2, 0, _subpixels),
    DIAGONAL: Kind(2, 0, _diagonal),
    REPEATED: Kind(2, 0, _repeated),
    TIME: Kind(2, 2, _time),
    STEM: Kind(6, 2, _stem),
    FOURIER: Kind(6, 0, _fourier),
    COSINES: Kind(1, 0, _cosines),
    RAMP: Kind(0, 0, _ramp),
    PLACES: Kind(3, 0, _places),
}
