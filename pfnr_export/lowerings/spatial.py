"""The `spatial` lowering: mode mixing as a circular convolution with real kernels the size of the map.

Mixing the modes of a map is, by the convolution theorem, a circular convolution with the inverse transform of
the mixing matrices:

    x [C, H, W] ─ wrap ─▶ [C, 2H−1, 2W−1] ─ conv H×W ─▶ z [O, H, W] ─ rows, columns ─▶ [O, rH, rW]

z holds every kept frequency below the map's own limits, so trigonometric interpolation to the larger grid,
one matrix per axis, is exact. With an even number of rows the kept row −H/2 is at that limit: on the small
grid it cannot be told from its own mirror image +H/2. It is taken apart: with s(w) = Σ_h (−1)^h x(h, w), its
contribution is a convolution of s along the columns to a complex line A(w') and

    cos(πh'/r)·Re A(w') + sin(πh'/r)·Im A(w')

Only for centered placement: the reference's moves the second band to other frequencies, which no convolution
followed by an interpolation does.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_export.layers import as_float32
from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.cost import LoweringCost
from pfnr_runtime.errors import UsageError
from pfnr_train.model.spectral import SpectralPlan


class SpatialLowering(Lowering):
    """See the module. Kernels are computed in float64 and rounded once."""

    name: ClassVar[str] = "spatial"

    def __init__(self, plan: SpectralPlan, weight: Tensor) -> None:
        super().__init__(plan, weight)
        if (objection := self.objection(plan)) is not None:
            raise UsageError(objection)
        H, W, r, dtype = plan.rows, plan.columns, plan.stride, weight.dtype
        kernel, edge = _kernels(plan, weight.double())
        self.kernel = _fixed(kernel.flip((2, 3)), dtype)
        self.to_rows = _fixed(torch.from_numpy(interpolation(H, r)), dtype)
        self.to_columns = _fixed(torch.from_numpy(interpolation(W, r)), dtype)
        self.edge = None
        if edge is not None:
            self.edge = _fixed(edge.flip(3), dtype)
            phase = np.pi * (np.arange(H * r) % (2 * r)) / r
            self.waves = _fixed(torch.from_numpy(np.stack([np.cos(phase), np.sin(phase)], 1)), dtype)
            self.signs = _fixed(torch.from_numpy((-1.0) ** np.arange(H)).view(1, H), dtype)

    @classmethod
    def objection(cls, plan: SpectralPlan) -> str | None:
        if plan.placement == "centered":
            return None
        return (
            "the lowering spatial is exact for centered placement only, and this network's Fourier block has "
            f"{plan.placement} placement; use matmul"
        )

    @classmethod
    def cost(cls, plan: SpectralPlan, in_channels: int, out_channels: int) -> LoweringCost:
        H, W, C, O = plan.rows, plan.columns, in_channels, out_channels  # noqa: E741
        rH, rW, even = H * plan.stride, W * plan.stride, plan.rows % 2 == 0
        products = O * (H * W * rW + rH * H * rW) + even * (C * H * W + 2 * O * W * rW + 2 * O * rH * rW)
        return LoweringCost(
            nodes=14 if even else 7,
            weight_bytes=4 * (O * C * H * W + rH * H + rW * W + even * (2 * O * C * W + 2 * rH + H)),
            moved_bytes=4 * (C * (2 * H - 1) * (3 * W - 1) + O * (H * rW + (2 + 2 * even) * rH * rW)),
            matrix_macs=products,
            conv_macs=O * C * (H * W) ** 2 + even * 2 * O * C * W**2,
        )

    def forward(self, x: Tensor) -> Tensor:
        H, W = self.plan.rows, self.plan.columns
        wrapped = F.pad(x, (W - 1, 0, H - 1, 0), mode="circular")
        small = F.conv2d(wrapped, self.kernel)
        out = self.to_rows @ (small @ self.to_columns.T)
        if self.edge is None:
            return out
        line = F.pad(self.signs @ x, (W - 1, 0, 0, 0), mode="circular")
        parts = F.conv2d(line, self.edge).unflatten(1, (-1, 2)).squeeze(3) @ self.to_columns.T
        return out + self.waves @ parts

    def emit(self, graph: Graph, x: str) -> str:
        H, W = self.plan.rows, self.plan.columns

        def multiply(name: str, matrix: Tensor, value: str) -> str:
            """matrix · value on the last two axes."""
            return graph.node("MatMul", [graph.constant(name, as_float32(matrix)), value], name=name + ".product")

        columns = graph.constant("to_columns", as_float32(self.to_columns.T))
        kernel = graph.constant("kernel", as_float32(self.kernel))
        wrapped = _wrap(graph, _wrap(graph, x, 2, H), 3, W)
        y = graph.node("Conv", [wrapped, kernel], kernel_shape=[H, W])
        y = multiply("to_rows", self.to_rows, graph.node("MatMul", [y, columns], name="to_columns.product"))
        if self.edge is None:
            return y
        line = _wrap(graph, multiply("signs", self.signs, x), 3, W)
        edge = graph.constant("edge", as_float32(self.edge))
        parts = graph.node("Conv", [line, edge], kernel_shape=[1, W], name="edge.conv")
        parts = graph.reshape(parts, (-1, self.edge.shape[0] // 2, 2, W))
        parts = graph.node("MatMul", [parts, columns], name="edge.to_columns.product")
        return graph.node("Add", [y, multiply("waves", self.waves, parts)], name="edge.sum")


def interpolation(size: int, stride: int) -> NDArray[np.float64]:
    """Trigonometric interpolation of a line: float64 [stride·size, size], exact for frequencies below size/2."""
    limit = (size - 1) // 2
    places = np.arange(size * stride)[:, None] - stride * np.arange(size)[None, :]
    angles = 2 * np.pi * ((places[..., None] * np.arange(1, limit + 1)) % (size * stride)) / (size * stride)
    matrix: NDArray[np.float64] = (1 + 2 * np.cos(angles).sum(-1)) / size
    return matrix


def _kernels(plan: SpectralPlan, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Real kernels [O, C, H, W] of the modes below the limit, and [2·O, C, 1, W] of the row −H/2, if kept."""
    H, W, m1, m2 = plan.rows, plan.columns, plan.m1, plan.m2
    outputs = weight.shape[2] // 2
    matrices = torch.complex(weight[..., :outputs], weight[..., outputs:]).view(2 * m1, m2, -1, outputs)
    # Twice every column but the first, which stands for itself alone; irfft2 does so by itself.
    spectrum = torch.zeros(outputs, weight.shape[1], H, W // 2 + 1, dtype=torch.complex128)
    rows = torch.from_numpy(plan.input_rows())
    spectrum[:, :, rows, :m2] = matrices.permute(3, 2, 0, 1)
    edge = None
    if H % 2 == 0:
        line = spectrum[:, :, H // 2, :m2].clone()
        spectrum[:, :, H // 2] = 0
        line[..., 1:] *= 2
        angles = 2 * np.pi * (torch.arange(m2)[:, None] * torch.arange(W)[None, :] % W).double() / W
        waves = torch.polar(torch.ones_like(angles), angles)
        taps = (line @ waves) / (H * W)  # complex [O, C, W]
        # A is this kernel on s; rotating by exp(−iπh'/r) and taking the real part gives cos·Re A + sin·Im A.
        edge = torch.stack([taps.real, taps.imag], 1).flatten(0, 1)[:, :, None, :]
    # Mixing is a product of spectra, so its kernel is the plain inverse transform: the 1/(HW) of `rfft2` stays.
    return torch.fft.irfft2(spectrum, s=(H, W), norm="backward"), edge


def _fixed(tensor: Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(tensor.to(dtype).contiguous(), requires_grad=False)


def _wrap(graph: Graph, x: str, axis: int, size: int) -> str:
    """All but the first element of an axis put before it: a circular convolution becomes a plain one.

    Slice and Concat, since the Pad operator wraps only from opset 19 on.
    """
    bounds = [graph.integers((value,)) for value in (1, size, axis)]
    tail = graph.node("Slice", [x, *bounds], name="wrap.tail")
    return graph.node("Concat", [tail, x], axis=axis, name="wrap")


LOWERING = SpatialLowering
