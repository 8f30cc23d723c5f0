"""The head before the last shuffle: activation and 1×1 head act on each position independently.

    conv ─ shuffle (C ch) ─ SiLU ─ head     becomes     conv ─ SiLU ─ head on each sub-pixel ─ shuffle (3 ch)

The largest tensor of the decoder is then never rearranged; only RGB is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_export.layers import Activation, Conv, Decoder, Head, Layer, PixelShuffle, Sums, as_float32, sums_of
from pfnr_export.passes.rewrite import find_run, replace_run
from pfnr_export.passes.subpixel import SubpixelShuffle, subpixel_first


class SubpixelHead(Layer):
    """The head on each of the r² sub-pixels: [B, r²·C, h, w] → [B, r²·3, h, w], channels sub-pixel first.

    weight: [3, C]. Written as one dense convolution whose weight holds r² copies along its diagonal, zeros
    elsewhere: the r²-fold multiply-adds take ONNX Runtime less than half the time of a grouped convolution,
    for which it leaves its blocked layout.
    """

    exact = True

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int) -> None:
        super().__init__()
        copies = [weight] * stride**2
        self.weight = nn.Parameter(torch.block_diag(*copies)[:, :, None, None], requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.repeat(stride**2), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)

    def sums(self, x: Tensor) -> Sums | None:
        return sums_of(F.conv2d, x, self.weight, self.bias)

    def emit(self, graph: Graph, x: str) -> str:
        inputs = [x, graph.own("weight", as_float32(self.weight))]
        if self.bias is not None:
            inputs.append(graph.own("bias", as_float32(self.bias)))
        return graph.node("Conv", inputs, kernel_shape=[1, 1])


def head_before_shuffle(decoder: Decoder) -> Decoder | None:
    """See the module. Needs a decoder that ends in a convolution block without a Fourier part."""
    start = find_run(decoder, (Conv, PixelShuffle, Activation, Head))
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
        conv_name: subpixel_first(conv, r),
        silu_name: silu,
        "head": SubpixelHead(head.weight, head.bias, r),
        "head_shuffle": SubpixelShuffle(r, (3, *shuffle.size)),
    }
    return replace_run(decoder, start, 4, new)
