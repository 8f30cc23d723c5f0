"""What the stream says of each tensor before its symbols: a few bytes.

    kind        one byte: 0 raw float32, 1 all zero, 2 coded
    exponent    signed number (kinds 1 and 2)
    slices      which slices hold anything (`pfnr_runtime.coding.slices`); only these follow (kind 2, as the rest)
    shift       one byte: so many low bits of every weight lie apart
    base        one byte: class of the mean magnitude
    split       number: see `View`
    counts      one byte: powers · 16 + shares
    powers, shares    a byte each: set of axes as bit mask · 16 + eighths + 4

A set's bit mask has bit i for axis i. Masks ascend, so that a header can be written in one way only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pfnr_runtime.coding.laplace import CLASSES
from pfnr_runtime.coding.numbers import Bytes, write_number, write_signed
from pfnr_runtime.coding.places import View
from pfnr_runtime.coding.quantised import MOST_EXPONENT
from pfnr_runtime.coding.scale_model import LEAST_EIGHTHS, Axes, Settings, axes_sets
from pfnr_runtime.coding.slices import Slices, read_slices, write_slices
from pfnr_runtime.errors import CodingError

RAW, ZERO, CODED = range(3)
MOST_SHIFT = 24


@dataclass(frozen=True)
class Coded:
    """How a coded tensor is coded. settings: its view is of what `slices` keeps."""

    slices: Slices
    shift: int
    settings: Settings

    @property
    def size(self) -> int:
        """How many weights have a symbol."""
        return self.settings.view.size


@dataclass(frozen=True)
class Header:
    """kind: RAW, ZERO or CODED. coded: for kind CODED. Others: see the module."""

    kind: int
    exponent: int = 0
    coded: Coded | None = None


def write_header(header: Header) -> bytes:
    """A header as bytes."""
    if header.kind == RAW:
        return bytes([RAW])
    start = bytes([header.kind]) + write_signed(header.exponent)
    if header.coded is None:
        return start
    coded, settings = header.coded, header.coded.settings
    counts = len(settings.powers) << 4 | len(settings.shares)
    start += write_slices(coded.slices) + bytes([coded.shift, settings.base])
    start += write_number(settings.view.split) + bytes([counts])
    return start + _write_eighths(settings.powers) + _write_eighths(settings.shares)


def read_header(source: Bytes, shape: tuple[int, ...]) -> Header:
    """The header of a tensor of this shape; a CodingError for one that makes no sense."""
    kind = source.byte()
    if kind == RAW:
        return Header(RAW)
    if kind not in (ZERO, CODED):
        raise CodingError(f"a coded tensor of kind {kind}; {RAW}, {ZERO} and {CODED} are known")
    exponent = source.signed()
    if abs(exponent) > MOST_EXPONENT:
        raise CodingError(f"a step of 2^{exponent}; -{MOST_EXPONENT} to {MOST_EXPONENT} are allowed")
    if kind == ZERO:
        return Header(ZERO, exponent)
    slices = read_slices(source, shape)
    shift, base, split, counts = source.byte(), source.byte(), source.number(), source.byte()
    if shift > MOST_SHIFT or base >= CLASSES:
        raise CodingError(f"shift {shift}, base {base}; up to {MOST_SHIFT} and {CLASSES - 1} are allowed")
    kept = slices.kept_shape
    if split < 1 or (kept[0] if kept else 1) % split:
        raise CodingError(f"a tensor of shape {list(kept)} with its first axis split by {split}")
    view = View(kept, split)
    powers, shares = (_read_eighths(source, count, len(view.axes)) for count in divmod(counts, 16))
    return Header(CODED, exponent, Coded(slices, shift, Settings(base, view, powers, shares)))


def _write_eighths(eighths: Mapping[Axes, int]) -> bytes:
    by_mask = {sum(1 << axis for axis in axes): value for axes, value in eighths.items()}
    return bytes(mask << 4 | by_mask[mask] - LEAST_EIGHTHS for mask in sorted(by_mask))


def _read_eighths(source: Bytes, count: int, axes: int) -> dict[Axes, int]:
    sets, found = axes_sets(axes), {}
    last = 0
    for _ in range(count):
        mask, eighths = divmod(source.byte(), 16)
        if not last < mask <= len(sets):
            raise CodingError(f"set {mask} of axes after set {last}, of a tensor with {len(sets)} sets")
        found[sets[mask - 1]] = eighths + LEAST_EIGHTHS
        last = mask
    return found
