"""An exact decoder with some of its convolutions in 8 bits, and the grids of their values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from pfnr_export.canvas import SCALE, HardSwish
from pfnr_export.exact_int8.layers import (
    STEPS,
    Grid,
    Int8,
    Int8Conv,
    Int8HardSwish,
    Shifted,
    power_of_two,
)
from pfnr_export.layers import Branches, Conv, Decoder, Head, Layer
from pfnr_export.passes.head_before_shuffle import SubpixelHead

Convolution = Conv | Head | SubpixelHead
CONVOLUTIONS = (Conv, Head, SubpixelHead)
ZERO = -2 * SCALE  # up to here a hard swish and a hard sigmoid are 0, and from its opposite on the latter is 1
# Half a step off 0: the 256 values are then those of a pixel, whose hard sigmoid is (k + 128.5)/256.
COLOURS = Grid(4 * SCALE / 256, ZERO + SCALE / 128)


@dataclass(frozen=True)
class Grids:
    """Of the values around one convolution: its input and its sums."""

    input: Grid
    sums: Grid


@dataclass(frozen=True)
class Range:
    """The least and the largest input of a convolution, and its largest sum."""

    least: float
    most: float
    most_sum: float


def convolutions(layers: nn.Sequential, scope: str = "") -> dict[str, Convolution]:
    """A decoder's float convolutions by name, in order."""
    found: dict[str, Convolution] = {}
    for name, layer in layers.named_children():
        if isinstance(layer, Branches):
            for branch in (layer.left, layer.right):
                found |= convolutions(branch, f"{scope}{name}/")
        elif isinstance(layer, CONVOLUTIONS):
            found[f"{scope}{name}"] = layer
    return found


def ranges(decoder: Decoder, batches: Iterable[Tensor]) -> dict[str, Range]:
    """By convolution, its range over these frames."""
    found: dict[str, Range] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def hook(module: nn.Module, given: tuple[Tensor], y: Tensor) -> None:
            before = found.get(name, Range(0.0, 0.0, 0.0))
            least, most = (float(v) for v in given[0].aminmax())
            found[name] = Range(
                min(before.least, least), max(before.most, most), max(before.most_sum, float(y.max()))
            )

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in convolutions(decoder).items()]
    with torch.no_grad():
        for frames in batches:
            decoder(frames)
    for hook in hooks:
        hook.remove()
    return found


def widest(decoder: Decoder, found: Mapping[str, Range]) -> dict[str, Grids]:
    """By convolution, the grids that clip nothing but what the activation behind makes equal."""
    grids, layers = {}, convolutions(decoder)
    for name, layer in layers.items():
        seen = found[name]
        sums = COLOURS if name == [*layers][-1] else _from(ZERO, seen.most_sum)
        around = Grid(power_of_two(max(-seen.least, seen.most) / (STEPS // 2)))
        beyond = _from(seen.least, seen.most)
        if beyond.step < around.step and kernel(layer).shape[-1] == 1:
            around = beyond
        grids[name] = Grids(around, sums)
    return grids


def narrowed(grids: dict[str, Grids], error: Callable[[dict[str, Grids]], float]) -> dict[str, Grids]:
    """Grids of smaller steps, one after another, wherever clipping costs less error than it saves."""
    least = error(grids)
    for name in grids:
        for part in ("input", "sums"):
            while (grid := getattr(grids[name], part)) != COLOURS:
                tried = grids | {name: replace(grids[name], **{part: grid.finer()})}
                if not (measured := error(tried)) < least:
                    break
                least, grids = measured, tried
    return grids


def in_8_bits(decoder: Decoder, low: frozenset[str], grids: Mapping[str, Grids]) -> Decoder:
    """The decoder with the convolutions named `low` in 8 bits, the others exact in float."""
    names = list(convolutions(decoder))
    following = dict(pairwise(names))
    return Decoder(_rewritten(decoder, "", low, grids, following))


def _rewritten(
    layers: nn.Sequential,
    scope: str,
    low: frozenset[str],
    grids: Mapping[str, Grids],
    following: Mapping[str, str],
) -> OrderedDict[str, nn.Module]:
    made: OrderedDict[str, nn.Module] = OrderedDict()
    last = ""
    for name, layer in layers.named_children():
        full = f"{scope}{name}"
        assert isinstance(layer, Layer)
        if isinstance(layer, Branches):
            left, right = (
                nn.Sequential(_rewritten(branch, f"{full}/", low, grids, following))
                for branch in (layer.left, layer.right)
            )
            made[name] = Branches(left, right, layer.combine)
            continue
        if isinstance(layer, CONVOLUTIONS):
            last = full
        if last not in low or not isinstance(layer, (*CONVOLUTIONS, HardSwish)):
            made[name] = layer
        elif isinstance(layer, CONVOLUTIONS):
            around, sums = grids[full].input, grids[full].sums
            if around.shift:
                made[f"{name}_around"] = Shifted(-around.shift)
            made[f"{name}_input"] = Int8(around.step)
            made[name] = Int8Conv(kernel(layer), layer.bias, around, sums.shift)
            made[f"{name}_sums"] = Int8(sums.step)
            if full not in following:
                made[f"{name}_colours"] = Shifted(sums.shift)
        else:
            made[name] = Int8HardSwish(grids[last].sums.shift, following[last] not in low)
    return made


def kernel(layer: Convolution) -> Tensor:
    """The weight, [out, in, k, k]."""
    return layer.weight[:, :, None, None] if layer.weight.dim() == 2 else layer.weight


def _from(low: float, high: float) -> Grid:
    """The grid of the least step that begins at `low`, a whole number of steps, and reaches `high`."""
    step = power_of_two(max(high - low, 1.0) / STEPS)
    while (grid := Grid.from_low(step * (low // step), step)).most < high:
        step *= 2
    return grid
