"""How many weights of each tensor a session keeps, and how many of them are new to the library.

The paper keeps the same fraction of every tensor and lets the scores choose, so sessions find ever fewer free
weights: the k-th takes about c·(1 − c)^k of them. Three rules improve on that, with the same number of weights:

- Convolutions and the stem's first layer hold a few per cent of all weights and most of what an image needs:
  they are kept at density 1 − (1 − c)², the stem's second layer and the Fourier block at what is left.
- `narrow-whole`, for sessions that own their values: convolutions and the stem's first layer are kept whole, and
  the Fourier block takes four fifths of what is left, the stem's second layer the rest.
- The sessions that a library is planned for take equal parts of what the first one left free; the rest of
  their weights they choose among those that earlier sessions have trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pfnr_train.session.masks import kept_count
from pfnr_train.session.recipe import Recipe

FOURIER_SHARE = 0.8  # by `narrow-whole`


@dataclass(frozen=True)
class Kept:
    """Weights that a session keeps of one tensor. new: of those that are free; None where scores choose."""

    all: int
    new: int | None = None


def allocate(sizes: Mapping[str, int], free: Mapping[str, int], recipe: Recipe, session: int) -> dict[str, Kept]:
    """What session `session` keeps, by tensor name. sizes, free: weights of each, and how many are free."""
    densities = tensor_densities(sizes, recipe)
    kept = {}
    for name, size in sizes.items():
        keep = kept_count(size, densities[name])
        if not 0 < session < recipe.planned or free[name] in (0, size):
            kept[name] = Kept(keep)
            continue
        share = math.ceil(free[name] / (recipe.planned - session))
        # Where earlier sessions used too little to fill up with, more has to be new.
        kept[name] = Kept(keep, min(free[name], keep, max(share, keep - (size - free[name]))))
    return kept


def tensor_densities(sizes: Mapping[str, int], recipe: Recipe) -> dict[str, float]:
    """Fraction of each tensor to keep, by name; over all tensors together it is the recipe's density."""
    c = recipe.density
    wide = {name: size for name, size in sizes.items() if name == "stem.1.weight" or ".fourier." in name}
    narrow = {name: size for name, size in sizes.items() if name not in wide}
    if recipe.spread == "uniform" or not wide or not narrow:
        return dict.fromkeys(sizes, c)
    total, few = sum(sizes.values()), sum(narrow.values())
    if recipe.spread == "narrow-whole":
        return _narrow_whole(wide, narrow, c * total)
    # Where convolutions are most of the network, the others keep at least half of what they would have had.
    dense = min(1 - (1 - c) ** 2, (c * total - c / 2 * (total - few)) / few)
    rest = (c * total - dense * few) / (total - few)
    return {name: dense if name in narrow else rest for name in sizes}


def _narrow_whole(wide: Mapping[str, int], narrow: Mapping[str, int], budget: float) -> dict[str, float]:
    """Densities that keep `narrow` tensors whole and share the rest of `budget` weights among the `wide` ones."""
    few = sum(narrow.values())
    if budget <= few:
        return dict.fromkeys(narrow, budget / few) | dict.fromkeys(wide, 1 / max(wide.values()))
    densities, left = dict.fromkeys(narrow, 1.0), budget - few
    for name, size in sorted(wide.items()):  # Fourier blocks come first
        kept = min(float(size), left * (FOURIER_SHARE if ".fourier." in name else 1.0))
        densities[name], left = kept / size, left - kept
    return densities
