"""The activation before the shuffle, and shuffles of whole pixels: see `pfnr_export.passes.subpixel`.

    conv ─ shuffle ─ SiLU     becomes     conv, sub-pixels first ─ SiLU ─ shuffle of whole pixels

An activation is elementwise, so order does not matter; next to its convolution it runs in the engine's layout. In
a branch, which is activated after it is combined, only the shuffle changes.
"""

from __future__ import annotations

from torch import nn

from pfnr_export.layers import Activation, Branches, Conv, Decoder, Layer, PixelShuffle
from pfnr_export.passes.rewrite import find_run, replace_run
from pfnr_export.passes.subpixel import SubpixelShuffle, subpixel_first


def activation_before_shuffle(decoder: Decoder) -> Decoder | None:
    """See the module."""
    rewritten, changed = _branches(decoder)
    while (start := find_run(rewritten, (Conv, PixelShuffle, Activation))) is not None:
        (conv_name, conv), (name, shuffle), (silu_name, silu) = list(rewritten.named_children())[start : start + 3]
        conv, shuffle = _subpixel(conv, shuffle)
        new: dict[str, Layer] = {conv_name: conv, silu_name: silu, name: shuffle}  # type: ignore[dict-item]
        rewritten, changed = replace_run(rewritten, start, 3, new), True
    return rewritten if changed else None


def _subpixel(conv: nn.Module, shuffle: nn.Module) -> tuple[Conv, SubpixelShuffle]:
    assert isinstance(conv, Conv)
    assert isinstance(shuffle, PixelShuffle)
    channels = conv.weight.shape[0] // shuffle.stride**2
    return subpixel_first(conv, shuffle.stride), SubpixelShuffle(shuffle.stride, (channels, *shuffle.size))


def _branches(decoder: Decoder) -> tuple[Decoder, bool]:
    """The decoder with whole-pixel shuffles in every branch, and whether there was one to change."""
    changed = False
    for position, (name, layer) in enumerate(list(decoder.named_children())):
        if not isinstance(layer, Branches) or not isinstance(layer.left[-1], PixelShuffle):
            continue
        (conv_name, conv), (shuffle_name, shuffle) = layer.left.named_children()
        left = nn.Sequential()
        for child, module in zip((conv_name, shuffle_name), _subpixel(conv, shuffle), strict=True):
            left.add_module(child, module)
        decoder = replace_run(decoder, position, 1, {name: Branches(left, layer.right, layer.combine)})
        changed = True
    return decoder, changed
