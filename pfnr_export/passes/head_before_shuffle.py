"""The head in front of the last shuffle: activation and 1×1 head act on every position alone.

    conv ─ shuffle (C ch) ─ SiLU ─ head     becomes     conv ─ SiLU ─ grouped head ─ shuffle (3 ch)

The largest tensor of the decoder is then never rearranged; only RGB is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_export.layers import Conv, Decoder, Head, Layer, PixelShuffle, Silu, as_float32
from pfnr_export.passes.rewrite import find_run, replace_run


class SubpixelHead(Layer):
    """The head on each of the r² sub-pixels: [B, r²·C, h, w] → [B, r²·3, h, w], channels sub-pixel first.

    weight: [3, C].
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int) -> None:
        super().__init__()
        groups = stride * stride
        self.groups = groups
        self.weight = nn.Parameter(weight[:, :, None, None].repeat(groups, 1, 1, 1), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.repeat(groups), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, groups=self.groups)

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [x, graph.own("weight", as_float32(self.weight))]
        if self.bias is not None:
            inputs.append(graph.own("bias", as_float32(self.bias)))
        return graph.node("Conv", inputs, kernel_shape=[1, 1], group=self.groups)


class SubpixelShuffle(Layer):
    """[B, r²·C, h, w] with channels sub-pixel first → [B, C, r·h, r·w]."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        B, channels, h, w = x.shape
        r, C = self.stride, channels // self.stride**2
        return x.view(B, r, r, C, h, w).permute(0, 3, 4, 1, 5, 2).reshape(B, C, r * h, r * w)

    def emit(self, graph: Graph, x: str) -> str:
        return graph.node("DepthToSpace", [x], blocksize=self.stride, mode="DCR")


def head_before_shuffle(decoder: Decoder) -> Decoder | None:
    """See the module. Needs a decoder that ends in a convolution block without a Fourier part."""
    start = find_run(decoder, (Conv, PixelShuffle, Silu, Head))
    if start is None:
        return None
    conv, shuffle, silu, head = decoder.layers()[start : start + 4]
    assert isinstance(conv, Conv)
    assert isinstance(shuffle, PixelShuffle)
    assert isinstance(head, Head)
    r = shuffle.stride
    if r == 1:
        return None
    conv_name, silu_name = (list(decoder.named_children())[start + i][0] for i in (0, 2))
    new: dict[str, Layer] = {
        conv_name: Conv(_subpixel_first(conv.weight, r), _optional(conv.bias, r)),
        silu_name: silu,  # type: ignore[dict-item]
        "head": SubpixelHead(head.weight, head.bias, r),
        "head_shuffle": SubpixelShuffle(r),
    }
    return replace_run(decoder, start, 4, new)


def _subpixel_first(tensor: Tensor, stride: int) -> Tensor:
    """Output channels from order (C, r²) to (r², C)."""
    groups = stride * stride
    return torch.cat([tensor[i::groups] for i in range(groups)]).contiguous()


def _optional(bias: Tensor | None, stride: int) -> Tensor | None:
    return None if bias is None else _subpixel_first(bias, stride)
