"""Replacing a run of layers in a decoder."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from pfnr_export.layers import Activation, Decoder, Layer


def find_run(decoder: Decoder, kinds: tuple[type[Layer], ...]) -> int | None:
    """Position of the first run of layers of exactly these kinds, or None. `Activation` stands for any."""
    layers = decoder.layers()
    for start in range(len(layers) - len(kinds) + 1):
        if all(_is(layers[start + i], kind) for i, kind in enumerate(kinds)):
            return start
    return None


def _is(layer: Layer, kind: type[Layer]) -> bool:
    return isinstance(layer, kind) if kind is Activation else type(layer) is kind


def replace_run(decoder: Decoder, start: int, count: int, new: dict[str, Layer]) -> Decoder:
    """A decoder with `count` layers from `start` replaced by `new` ones, all others shared."""
    named = list(decoder.named_children())
    kept: OrderedDict[str, nn.Module] = OrderedDict(named[:start])
    kept.update(new)
    kept.update(named[start + count :])
    return Decoder(kept)
