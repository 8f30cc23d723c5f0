"""Packing an .onnx: what each of its tensors is made from is found by trying, and proved by comparing bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.packed.derivations import (
    COSINES,
    DIAGONAL,
    FOURIER,
    PLACES,
    RAMP,
    REPEATED,
    SOURCE,
    STEM,
    SUBPIXELS,
    TIME,
    Derivation,
    Floats,
)
from pfnr_runtime.artifact.packed.file import MOST_BYTES, Fill, unpack, write_packed
from pfnr_runtime.artifact.packed.skeleton import Hole, take_apart
from pfnr_runtime.coding.quantised import MOST_EXPONENT, Quantised, Tensor
from pfnr_runtime.errors import CodingError, UsageError
from pfnr_runtime.video.time_table import PLACE_FRACTION

STRIDES = range(2, 9)
GRIDS = (0, 11)  # exponents of the grids that a time table may lie on; 0: on none
MOST_PATCHED = 1 / 256  # of a tensor's values
COARSE = 1 << 16  # weights of more steps than this are floats that happen to lie on some grid


@dataclass(frozen=True)
class Origin:
    """What an .onnx was exported from.

    - tensors: the session's weights and head by name, float32.
    - stem: names of weight and bias of the stem's layers; a bias may be missing.
    - time: levels, base and scalar of the time table.
    - fourier: rows, columns, stride and the begin of the negative rows in input and output, for every Fourier
      block.
    """

    tensors: Mapping[str, Floats] = field(default_factory=dict)
    stem: tuple[tuple[str, str], ...] = ()
    time: tuple[int, float, float] | None = None
    fourier: tuple[tuple[int, int, int, int, int], ...] = ()


def pack(model: bytes, origin: Origin) -> bytes:
    """The packed file of an .onnx, always the same for the same input. A UsageError for one that is too large."""
    if len(model) > MOST_BYTES:
        raise UsageError(f"an .onnx of {len(model)} bytes; at most {MOST_BYTES} can be packed: keep the .onnx")
    skeleton, holes, tensors = take_apart(model)
    packer = _Packer(origin)
    fills = [packer.fill(hole, tensor) for hole, tensor in zip(holes, tensors, strict=True)]
    packed = write_packed(model, skeleton, packer.used, fills)
    assert unpack(packed).model == model
    return packed


class _Packer:
    """used: the learned tensors that derivations took so far."""

    def __init__(self, origin: Origin) -> None:
        self.used: list[Tensor] = []
        self._origin = origin
        self._known = {name: as_learned(tensor) for name, tensor in origin.tensors.items()}
        self._index: dict[str, int] = {}

    def fill(self, hole: Hole, tensor: Floats) -> Fill:
        """The derivation of one tensor and its patches; as a last resort, the tensor itself is a learned one."""
        for names, derivation in self._candidates(hole):
            sources = [_values(self._known[name]) for name in names]
            try:
                made = derivation.build(sources, hole.shape)
            except CodingError:
                continue
            places = (made.reshape(-1).view(np.uint32) != tensor.reshape(-1).view(np.uint32)).nonzero()[0]
            if places.size <= MOST_PATCHED * tensor.size:
                patches = tuple((int(i), tensor.reshape(-1)[i : i + 1].astype("<f4").tobytes()) for i in places)
                return Fill(self._numbered(derivation, names), patches)
        learned = as_learned(tensor)
        if not np.array_equal(_values(learned).view(np.uint32), tensor.view(np.uint32)):
            learned = tensor
        self.used.append(learned)
        return Fill(Derivation(SOURCE, (len(self.used) - 1,)))

    def _candidates(self, hole: Hole) -> Iterator[tuple[list[str], Derivation]]:
        """What a tensor may be made from: names, and a derivation that numbers them from 0."""
        for name, tensor in self._known.items():
            size = _values(tensor).size
            if size == hole.size:
                yield [name], Derivation(SOURCE, (0,))
                for stride in STRIDES:
                    yield [name], Derivation(SUBPIXELS, (0, stride))
            for stride in STRIDES:
                if size * stride**2 == hole.size:
                    yield [name], Derivation(REPEATED, (0, stride))
                if size * stride**4 == hole.size:
                    yield [name], Derivation(DIAGONAL, (0, stride))
        for rows, columns, stride, *placed in self._origin.fourier:
            for which in range(4):
                yield [], Derivation(FOURIER, (which, rows, columns, stride, *placed))
        yield [], Derivation(RAMP, ())
        yield [], Derivation(COSINES, (GRIDS[-1],))
        for name, tensor in self._known.items():
            if _values(tensor).shape[:1] == hole.shape[1:]:
                yield [name], Derivation(PLACES, (0, GRIDS[-1], PLACE_FRACTION))
        if self._origin.time is not None:
            for grid in GRIDS:
                yield from self._tables(grid, *self._origin.time)

    def _tables(
        self, grid: int, levels: int, base: float, scalar: float
    ) -> Iterator[tuple[list[str], Derivation]]:
        yield [], Derivation(TIME, (levels, grid), (base, scalar))
        for layers in range(1, len(self._origin.stem) + 1):
            names = [name for layer in self._origin.stem[:layers] for name in layer]
            there = [name for name in names if name in self._known]
            numbers = [there.index(name) + 1 if name in self._known else 0 for name in names]
            yield there, Derivation(STEM, (levels, grid, *(numbers + [0] * 4)[:4]), (base, scalar))

    def _numbered(self, derivation: Derivation, names: list[str]) -> Derivation:
        """The derivation with the numbers that its tensors have in the file."""
        for name in names:
            if name not in self._index:
                self._index[name] = len(self.used)
                self.used.append(self._known[name])
        numbers = derivation.numbers
        if derivation.kind == STEM:
            found = [self._index[names[number - 1]] + 1 if number else 0 for number in numbers[2:]]
            return Derivation(STEM, (*numbers[:2], *found), derivation.reals)
        if names:
            return Derivation(derivation.kind, (self._index[names[0]], *numbers[1:]), derivation.reals)
        return derivation


def as_learned(values: Floats) -> Tensor:
    """A tensor as whole numbers times a power of two where that leaves them small; else as it is."""
    bits = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)
    there = bits[bits << 1 != 0]
    if not there.size:
        return Quantised(np.zeros(values.shape, np.int32), 0)
    biased = (there >> 23 & 255).astype(np.int64)
    if biased.min() == 0 or biased.max() == 255:
        return values  # subnormal, infinite or not a number
    mantissa = (there & 0x7FFFFF | 0x800000).astype(np.int64)
    zeros = np.frexp((mantissa & -mantissa).astype(np.float64))[1] - 1
    exponent = int((biased - 150 + zeros).min())
    most = float(np.abs(values).max()) * 2.0**-exponent
    if most >= COARSE or abs(exponent) > MOST_EXPONENT:
        return values
    integers = np.ldexp(values.astype(np.float64), -exponent).astype(np.int32)
    return Quantised(integers, exponent)


def _values(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.values() if isinstance(tensor, Quantised) else tensor
