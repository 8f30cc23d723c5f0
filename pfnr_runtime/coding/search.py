"""The encoder's choice of a tensor's settings: by what they cost in bits, tried on a part of its places."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.laplace import CLASSES, ESCAPE, MOST, largest, symbol_bits
from pfnr_runtime.coding.places import Integers, View
from pfnr_runtime.coding.scale_model import (
    EIGHTHS,
    FARTHEST,
    FRACTION,
    LEAST_EIGHTHS,
    MOST_EIGHTHS,
    Axes,
    Means,
    Settings,
    axes_sets,
    base_mean,
    changed_class,
    class_of,
    coordinates_of,
    expected_values,
    logarithm,
)

SAMPLE = 1 << 15  # places that a choice is tried on
LARGE = 1 << 20  # weights; of larger tensors fewer settings are tried
ROUNDS = 3
SET_BITS = 8  # what a power or a share takes in the header
ESCAPED_BITS = 12  # about what a value takes that has no symbol
LEAST_GAIN = 0.97  # shares are tried where they bring the magnitudes down to this part or less
STRIDES = (2, 3, 4, 5, 6)  # of pixel shuffles, whose r² sub-pixels may be told apart


def choose_settings(values: Integers, shape: tuple[int, ...], kernels: bool) -> Settings:
    """The cheapest settings found for these values, int64 [size of shape].

    kernels: they are a convolution's, so that the first axis may hold sub-pixels of channels.
    """
    splits = [1]
    if kernels and math.prod(shape) <= LARGE:
        splits += [r * r for r in STRIDES if shape[0] % (r * r) == 0 and shape[0] > r * r]
    return min((_search(values, View(shape, split)) for split in splits), key=lambda found: found[0])[1]


def _search(values: Integers, view: View) -> tuple[float, Settings]:
    """The cheapest settings with this view, and what they cost in bits."""
    sets = axes_sets(len(view.axes))
    found = _with_powers(values, Settings(0, view), values, sets)
    shares = _shares(values, view, sets) if values.size <= LARGE else {}
    if not shares:
        return found
    differences = values - expected_values(values, view, shares)
    return min(
        found, _with_powers(values, Settings(0, view, shares=shares), differences, sets), key=lambda f: f[0]
    )


def _with_powers(
    values: Integers, settings: Settings, differences: Integers, sets: list[Axes]
) -> tuple[float, Settings]:
    magnitudes = np.minimum(np.abs(differences), FARTHEST)
    found = []
    for base in _bases(magnitudes):
        prior = base_mean(base)
        logarithms, sample = _walk(settings.view, magnitudes, sets, prior, Means.logarithm)
        features = logarithms - logarithm(np.array([prior]))
        bits, powers = _descend(features, np.minimum(magnitudes[sample], MOST + 1), base)
        bits = bits * values.size / max(1, sample.size)
        bits += SET_BITS * (np.count_nonzero(powers) + len(settings.shares))
        chosen = {axes: int(power) for axes, power in zip(sets, powers, strict=True) if power}
        found.append((bits, replace(settings, base=base, powers=chosen)))
    return min(found, key=lambda item: item[0])


def _shares(values: Integers, view: View, sets: list[Axes]) -> dict[Axes, int]:
    """Shares of mean values that bring the expected value nearest, by least squares; none if of little use."""
    means, sample = _walk(view, np.clip(values, -FARTHEST, FARTHEST), sets, 0, Means.mean)
    features, target = means.T / (1 << FRACTION), values[sample].astype(np.float64)
    if not target.any() or not sets:
        return {}
    # By the normal equations: a decomposition of all the features takes longer, and threads that nobody asked for.
    exact = np.linalg.pinv(features.T @ features, rcond=1e-12, hermitian=True) @ (features.T @ target)
    eighths = np.clip(np.rint(exact * EIGHTHS), LEAST_EIGHTHS, MOST_EIGHTHS).astype(np.int64)
    rest = target - np.rint(features @ eighths / EIGHTHS)
    if np.abs(rest).sum() > LEAST_GAIN * np.abs(target).sum():
        return {}
    return {axes: int(share) for axes, share in zip(sets, eighths, strict=True) if share}


def _walk(
    view: View, numbers: Integers, sets: list[Axes], prior: int, look: Callable[[Means, Integers], Integers]
) -> tuple[Integers, Integers]:
    """What means over every set say at a sample of the places before these are known, int64 [sets, sample], and
    the sample's places.
    """
    means = [Means(axes, view.axes, prior) for axes in sets]
    said, sample = [np.empty((len(sets), 0), np.int64)], []
    for plane in view.planes():
        coordinates = coordinates_of(plane.places, view.axes)
        keys = [mean.keys(coordinates) for mean in means]
        chosen = _sampled(plane.places, view.size)
        sample.append(plane.places[chosen])
        if means:
            said.append(np.stack([look(mean, key[chosen]) for mean, key in zip(means, keys, strict=True)]))
        own = numbers[plane.places]
        there = own.nonzero()[0]
        for mean, key in zip(means, keys, strict=True):
            mean.add(plane, key[there], own[there])
    return np.concatenate(said, axis=1), np.concatenate(sample)


def _sampled(places: Integers, size: int) -> NDArray[np.bool_]:
    """Which places belong to the sample: about SAMPLE of `size`, scattered by a multiplicative hash."""
    return (places * 2654435761 & 0xFFFFFFFF) * size < SAMPLE << 32


def _bases(magnitudes: Integers) -> list[int]:
    """Classes that may serve as a tensor's base: that of the mean, and that which codes best on its own."""
    mean = _class_of_mean(magnitudes)
    return [mean] if magnitudes.size > LARGE else sorted({mean, _best_class(magnitudes)})


def _class_of_mean(magnitudes: Integers) -> int:
    total = np.array([max(int(magnitudes.sum()) << FRACTION, 1)])
    return int(class_of(logarithm(total) - logarithm(np.array([magnitudes.size << FRACTION])))[0])


def _best_class(magnitudes: Integers) -> int:
    """The class that codes these magnitudes in the fewest bits, if it is the only one."""
    counts = np.bincount(np.minimum(magnitudes, MOST + 1), minlength=MOST + 2)
    return int(np.argmin(_bits() @ counts))


def _descend(features: Integers, magnitudes: Integers, base: int) -> tuple[float, Integers]:
    """Powers in eighths, one by one changed for the better, and the cost in bits that they come to."""
    powers = np.zeros(len(features), np.int64)
    change = np.zeros(magnitudes.size, np.int64)
    best = _cost(change, magnitudes, base)
    for _ in range(ROUNDS):
        before = best
        for i, feature in enumerate(features):
            for step in (4, -4, 2, -2, 1, -1):
                if not LEAST_EIGHTHS <= powers[i] + step <= MOST_EIGHTHS:
                    continue
                bits = _cost(change + step * feature, magnitudes, base)
                if bits < best - SET_BITS:
                    best, change = bits, change + step * feature
                    powers[i] += step
                    break
        if best == before:
            break
    return best, powers


def _cost(change: Integers, magnitudes: Integers, base: int) -> float:
    return float(_bits()[changed_class(base, change), magnitudes].sum(dtype=np.float64))


@lru_cache(maxsize=1)
def _bits() -> NDArray[np.float32]:
    """What a magnitude costs, sign and all, float32 [CLASSES, MOST + 2]; the last is for all larger ones."""
    table = np.concatenate([symbol_bits()[:, :1], symbol_bits()[:, 1:ESCAPE:2], symbol_bits()[:, ESCAPE:]], axis=1)
    beyond = np.arange(MOST + 2) > largest().reshape(CLASSES, 1)
    return np.where(beyond, symbol_bits()[:, ESCAPE:] + ESCAPED_BITS, table).astype(np.float32)
