"""What to expect at a place from what was decoded before it: a value, and how far off it may be.

Weights are large or small by row, column, channel or tap of a kernel, and by combinations of them. For every
set of axes that a tensor's header names, the model keeps the mean magnitude of what was decoded so far at each
coordinate along these axes, and expects at a place the tensor's mean times these means' ratios to it, each to a
power from the header. So the scales of channels and taps are learnt by both sides and cost nothing. In the same
way it may expect a value: a weighted sum of mean values. All of it is whole-number arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.laplace import CLASSES, CLASSES_AN_OCTAVE, SMALLEST_OCTAVE
from pfnr_runtime.coding.places import PARTS, Integers, Plane, View, residues

Axes = tuple[int, ...]

EIGHTHS = 8  # powers and shares are eighths
LEAST_EIGHTHS, MOST_EIGHTHS = -4, 11  # what a header can say in four bits
PRIOR = 2  # a mean begins as if two values of the tensor's mean magnitude had been seen
FRACTION = 12  # bits after the point of a mean
FARTHEST = 32767  # what lies farther counts as if it lay here
SIXTEENTHS = 16  # of an octave, in which logarithms are counted
_MANTISSA = 10
_PARTS_APART = (np.arange(PARTS)[:, None] - np.arange(PARTS)) % PARTS


def axes_sets(count: int) -> list[Axes]:
    """Every set of some but not all of `count` axes, in the order of their numbers as bit masks."""
    return [tuple(i for i in range(count) if mask >> i & 1) for mask in range(1, (1 << count) - 1)]


@dataclass(frozen=True)
class Settings:
    """What a tensor's header says of its model.

    - base: class of the mean magnitude.
    - view: see `View`.
    - powers: eighths by set of axes, for the expected magnitude.
    - shares: likewise, for the expected value.
    """

    base: int
    view: View
    powers: Mapping[Axes, int] = field(default_factory=dict)
    shares: Mapping[Axes, int] = field(default_factory=dict)


class Means:
    """Means of values at every coordinate along one set of axes, as far as they are known.

    prior: a mean that counts as `PRIOR` values, in units of 2^-12.
    """

    def __init__(self, axes: Axes, lengths: tuple[int, ...], prior: int) -> None:
        self._lengths = {axis: lengths[axis] for axis in axes}
        others = [length for axis, length in enumerate(lengths) if axis not in axes]
        self._residues = residues(tuple(self._lengths.values())) & PARTS - 1
        self._others = _places_by_part(others)
        size = len(self._residues)
        self._sum, self._count = np.zeros(size, np.int64), np.full(size, PRIOR, np.int64)
        self._prior = prior * PRIOR

    def keys(self, coordinates: Sequence[Integers]) -> Integers:
        """The coordinate of every place along these axes, as one number."""
        (first, _), *rest = self._lengths.items()
        keys = coordinates[first]
        for axis, length in rest:
            keys = keys * length + coordinates[axis]
        return keys

    def logarithm(self, keys: Integers) -> Integers:
        """Of the mean with its prior, in sixteenths of an octave."""
        return (logarithm((self._sum << FRACTION) + self._prior) - logarithm(self._count)).take(keys)

    def mean(self, keys: Integers) -> Integers:
        """The mean, drawn to 0 by the prior, in units of 2^-12."""
        return ((self._sum << FRACTION) // self._count).take(keys)

    def add(self, plane: Plane, keys: Integers, values: Integers) -> None:
        """Count in the values of a plane. keys, values: of those that are not 0. Sums are far below 2^53, where
        float64 is exact.
        """
        self._sum += np.bincount(keys, values, len(self._sum)).astype(np.int64)
        added = self._others[_PARTS_APART[plane.first : plane.last]].sum(axis=0)
        self._count += added[self._residues]


def _places_by_part(lengths: Sequence[int]) -> Integers:
    """How many places of these axes lie in each part, int64 [PARTS]."""
    counts = np.zeros(PARTS, np.int64)
    counts[0] = 1
    for length in lengths:
        along = np.bincount(np.arange(length) % PARTS, minlength=PARTS)
        counts = counts[_PARTS_APART] @ along
    return counts


def coordinates_of(places: Integers, lengths: tuple[int, ...]) -> list[Integers]:
    """The coordinates of flat indices, one array per axis."""
    found = []
    for length in reversed(lengths[1:]):
        places, whole = places // length, places
        found.append(whole - places * length)
    return [places, *reversed(found)]


class ScaleModel:
    """The model of one tensor while it is coded: `expect` at the places of a plane, `learn` what they hold."""

    def __init__(self, settings: Settings) -> None:
        self._axes, self._base = settings.view.axes, settings.base
        prior = base_mean(settings.base)
        self._origin = int(logarithm(np.array([prior]))[0])
        self._magnitudes = [(Means(axes, self._axes, prior), power) for axes, power in settings.powers.items()]
        self._values = [(Means(axes, self._axes, 0), share) for axes, share in settings.shares.items()]
        self._keys: list[Integers] = []

    def expect(self, plane: Plane) -> tuple[Integers, Integers]:
        """Classes of the difference from the expected value, and that value, int64 [n] each."""
        both = self._magnitudes + self._values
        coordinates = coordinates_of(plane.places, self._axes) if both else []
        self._keys = [means.keys(coordinates) for means, _ in both]
        change = np.zeros(len(plane.places), np.int64)
        for (means, power), keys in zip(self._magnitudes, self._keys, strict=False):
            change += power * (means.logarithm(keys) - self._origin)
        if not self._values:
            return changed_class(self._base, change), np.zeros_like(change)
        value = np.zeros_like(change)
        for (means, share), keys in zip(self._values, self._keys[len(self._magnitudes) :], strict=True):
            value += share * means.mean(keys)
        return changed_class(self._base, change), rounded_value(value)

    def learn(self, plane: Plane, values: Integers, differences: Integers) -> None:
        """Count in what the places last expected hold, and how far that was off."""
        there = differences.nonzero()[0]
        magnitudes = np.minimum(np.abs(differences[there]), FARTHEST)
        for (means, _), keys in zip(self._magnitudes, self._keys, strict=False):
            means.add(plane, keys[there], magnitudes)
        if self._values:
            values = np.clip(values, -FARTHEST, FARTHEST)
        for (means, _), keys in zip(self._values, self._keys[len(self._magnitudes) :], strict=True):
            means.add(plane, keys, values)


def changed_class(base: int, change: Integers) -> Integers:
    """The class of a mean magnitude that differs from its base class by `change` / 8 sixteenths of an octave."""
    a_class = SIXTEENTHS // CLASSES_AN_OCTAVE
    return class_of(base * a_class + SIXTEENTHS * SMALLEST_OCTAVE + (change + EIGHTHS // 2 >> 3))


def rounded_value(value: Integers) -> Integers:
    """A sum of shares in eighths times means in units of 2^-12, as the nearest whole number."""
    return (value + (EIGHTHS << FRACTION >> 1)) // (EIGHTHS << FRACTION)


def expected_values(values: Integers, view: View, shares: Mapping[Axes, int]) -> Integers:
    """What a model with these shares expects at every place, int64 [size], if it is told these values."""
    model, expected = ScaleModel(Settings(0, view, shares=shares)), np.zeros(len(values), np.int64)
    for plane in view.planes():
        own = values[plane.places]
        expected[plane.places] = model.expect(plane)[1]
        model.learn(plane, own, own)
    return expected


def base_mean(base: int) -> int:
    """The mean magnitude of a class in units of 2^-12, at least 1."""
    octave, quarter = divmod(base, CLASSES_AN_OCTAVE)
    return max(1, (_ROOTS[quarter] << octave) >> 16 - (FRACTION + SMALLEST_OCTAVE))


def class_of(level: Integers) -> Integers:
    """The class nearest to a mean magnitude, given by its logarithm in sixteenths of an octave."""
    a_class = SIXTEENTHS // CLASSES_AN_OCTAVE
    return np.clip(level + (a_class // 2 - SIXTEENTHS * SMALLEST_OCTAVE) >> 2, 0, CLASSES - 1)


def logarithm(numbers: Integers) -> Integers:
    """The logarithm to base 2 of whole numbers from 1, in sixteenths, rounded down to a mantissa of 10 bits."""
    mantissa, exponent = np.frexp(numbers.astype(np.float64))  # exact: a number is only taken apart
    return exponent.astype(np.int64) * SIXTEENTHS + _mantissas()[(mantissa * (2 << _MANTISSA)).astype(np.int64)]


_ROOTS = (65536, 77935, 92681, 110217)  # 2^(i/4) in units of 2^-16, rounded down


@lru_cache(maxsize=1)
def _mantissas() -> NDArray[np.int64]:
    """Sixteenths of an octave by mantissa, relative to a mantissa of 1 (so -16 to -1), for 2^10 to 2^11 - 1."""
    one = 1 << _MANTISSA
    found = np.zeros(2 * one, np.int64)
    for i in range(one, 2 * one):
        found[i] = max(part for part in range(SIXTEENTHS) if i**SIXTEENTHS >= one**SIXTEENTHS << part) - SIXTEENTHS
    return found
