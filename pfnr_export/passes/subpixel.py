"""Shuffles of whole pixels: sub-pixels before channels, so that adjacent numbers move together.

PixelShuffle takes channels ordered (C, r²), and moves every number separately. If the convolution before it gives
them as (r², C), the shuffle moves r·C adjacent numbers at a time when channels are last. Engines keep convolution
maps channels last, or in blocks of channels, and convert between the two cheaply: measured in ONNX Runtime, a
quarter of the time of DepthToSpace.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pfnr_export.graph import Graph
from pfnr_export.layers import Conv, Layer


class SubpixelShuffle(Layer):
    """[B, r²·C, h, w] with channels sub-pixel first → [B, C, r·h, r·w]. size: C, h and w."""

    exact = True

    def __init__(self, stride: int, size: tuple[int, int, int]) -> None:
        super().__init__()
        self.stride, self.size = stride, size

    def forward(self, x: Tensor) -> Tensor:
        r, (C, h, w) = self.stride, self.size
        return x.view(-1, r, r, C, h, w).permute(0, 3, 4, 1, 5, 2).reshape(-1, C, r * h, r * w)

    def emit(self, graph: Graph, x: str) -> str:
        shuffled = self.emit_pixels(graph, graph.transpose(x, (0, 2, 3, 1)))
        return graph.transpose(shuffled, (0, 3, 1, 2))

    def emit_pixels(self, graph: Graph, x: str) -> str:
        """The shuffle alone, channels last: [B, h, w, r²·C] → [B, r·h, r·w, C]."""
        r, (C, h, w) = self.stride, self.size
        # [B·h, w, r, r·C]: batch and rows, columns, rows of a block, columns and channels of a block.
        x = graph.transpose(graph.reshape(x, (-1, w, r, r * C)), (0, 2, 1, 3))
        return graph.reshape(x, (-1, r * h, r * w, C))


def subpixel_first(conv: Conv, stride: int) -> Conv:
    """The convolution with its output channels in the order (r², C), not (C, r²)."""
    bias = None if conv.bias is None else _reordered(conv.bias, stride)
    return Conv(_reordered(conv.weight, stride), bias)


def _reordered(tensor: Tensor, stride: int) -> Tensor:
    groups = stride * stride
    return torch.cat([tensor[i::groups] for i in range(groups)]).contiguous()
