"""The Fourier block's mathematics: which modes it keeps, and the same operator in two forms.

With X = rfft2(x)/(HW) of a map of H×W, the block keeps the row bands [0, m1) and [H−m1, H) and the columns
[0, m2), m1 = H//2, m2 = W//2, mixes the channels of every kept mode (u, v) with a separate complex matrix,

    Y[o](u, v) = Σ_c (W_re + i W_im)[(u, v), c, o] · X[c](u, v),

and transforms back onto the larger grid rH×rW (arXiv 2306.11305, section 3.2). Weights are stored modes
first, [K, C, 2·O] with K = 2·m1·m2 in order (u, v) and real parts before imaginary ones.

Placement says where the second band lies in the larger spectrum: `centered` at rows [rH−m1, rH), where the
same negative frequencies live there, or `reference` at [H−m1, H), as the authors' code pads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_train.model.config import kept_modes


@dataclass(frozen=True)
class SpectralPlan:
    """Sizes of one Fourier block: H×W in, stride r, band placement."""

    rows: int
    columns: int
    stride: int
    placement: str

    @property
    def m1(self) -> int:
        """Rows in each band."""
        return kept_modes(self.rows, self.columns)[0]

    @property
    def m2(self) -> int:
        """Columns kept."""
        return kept_modes(self.rows, self.columns)[1]

    @property
    def mode_count(self) -> int:
        """K = 2·m1·m2."""
        return 2 * self.m1 * self.m2

    def input_rows(self) -> NDArray[np.int64]:
        """Indices u of the kept rows in the input's spectrum: int64 [2·m1]."""
        band = np.arange(self.m1)
        return np.concatenate([band, band + self.rows - self.m1])

    def output_rows(self) -> NDArray[np.int64]:
        """Indices of the same rows in the output's spectrum: int64 [2·m1]."""
        height = self.rows if self.placement == "reference" else self.rows * self.stride
        band = np.arange(self.m1)
        return np.concatenate([band, band + height - self.m1])


@dataclass(frozen=True)
class DftMatrices:
    """The four constant real matrices of the `matmul` form, float64, each applied from the left.

    columns_in [2·m2, W]: (re/im, v) of the row-wise DFT. rows_in [2·m1·2, H·2]: (u, re/im) of the
    column-wise DFT from (h, re/im). rows_out [rH·2, 2·m1·4]: (h', re/im) from the four real products
    (re·re, re·im, im·re, im·im) of every kept row, complex product and inverse DFT in one.
    columns_out [rW, 2·m2]: the real inverse from (re/im, v); column 0 has weight 1, the others stand for
    their mirror image too and have weight 2.
    """

    columns_in: NDArray[np.float64]
    rows_in: NDArray[np.float64]
    rows_out: NDArray[np.float64]
    columns_out: NDArray[np.float64]


def dft_matrices(plan: SpectralPlan) -> DftMatrices:
    """The matrices of a plan. Angles are reduced exactly (integers modulo the period) before any cosine."""
    H, W, r, m1, m2 = plan.rows, plan.columns, plan.stride, plan.m1, plan.m2
    rH, rW = H * r, W * r

    cos, sin = _cos_sin(np.arange(m2), np.arange(W), W)
    columns_in = np.concatenate([cos, -sin]) / (H * W)

    cos, sin = _cos_sin(plan.input_rows(), np.arange(H), H)
    # (a + ib)(cos − i sin) = (a cos + b sin) + i(b cos − a sin)
    rows_in = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=1)

    cos, sin = _cos_sin(np.arange(rH), plan.output_rows(), rH)
    # Y = (rr − ii) + i(ri + ir), then Y(cos + i sin)
    real = np.stack([cos, -sin, -sin, -cos], axis=-1)
    imag = np.stack([sin, cos, cos, -sin], axis=-1)
    rows_out = np.stack([real, imag], axis=1)

    cos, sin = _cos_sin(np.arange(rW), np.arange(m2), rW)
    weight = np.where(np.arange(m2) == 0, 1.0, 2.0)
    columns_out = np.concatenate([cos * weight, -sin * weight], axis=1)
    return DftMatrices(
        columns_in, rows_in.reshape(2 * m1 * 2, H * 2), rows_out.reshape(rH * 2, 2 * m1 * 4), columns_out
    )


def _cos_sin(
    left: NDArray[np.int64], right: NDArray[np.int64], period: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angles = 2 * np.pi * ((left[:, None] * right[None, :]) % period) / period
    return np.cos(angles), np.sin(angles)


def mix_by_definition(x: Tensor, weight: Tensor, plan: SpectralPlan) -> Tensor:
    """The Fourier block as the paper writes it, through rfft2 and irfft2.

    x: [B, C, H, W]; weight: [K, C, 2·O], masked; returns [B, O, rH, rW]. What every other form is held to.
    """
    batch, outputs = x.shape[0], weight.shape[2] // 2
    rH, rW = plan.rows * plan.stride, plan.columns * plan.stride
    spectrum = torch.fft.rfft2(x, norm="forward")[:, :, plan.input_rows(), : plan.m2]
    complex_weight = torch.complex(weight[..., :outputs], weight[..., outputs:])
    modes = complex_weight.view(2 * plan.m1, plan.m2, *complex_weight.shape[1:])
    mixed = torch.einsum("bcuv,uvco->bouv", spectrum, modes)
    full = torch.zeros(batch, outputs, rH, rW // 2 + 1, dtype=mixed.dtype, device=x.device)
    full[:, :, plan.output_rows(), : plan.m2] = mixed
    return torch.fft.irfft2(full, s=(rH, rW), norm="forward")


class MatmulMixer(torch.nn.Module):
    """The Fourier block in real matrix products only: no FFT, no complex numbers.

    x: [B, C, H, W]; weight: [K, C, 2·O]; returns [B, O, rH, rW]. Exact to rounding. The weights enter one
    batched product with modes leading and are read once: real and imaginary input rows share it.
    """

    columns_in: Tensor
    rows_in: Tensor
    rows_out: Tensor
    columns_out: Tensor

    def __init__(self, plan: SpectralPlan, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.plan = plan
        for name, matrix in vars(dft_matrices(plan)).items():
            self.register_buffer(name, torch.from_numpy(matrix).to(dtype), persistent=False)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """See the class."""
        plan, (B, C, H, W) = self.plan, x.shape
        O = weight.shape[2] // 2  # noqa: E741 - the paper's letter for output channels
        rows, m2, rH, rW = 2 * plan.m1, plan.m2, H * plan.stride, W * plan.stride
        maps = x.permute(2, 3, 0, 1).reshape(H, W, B * C)
        half = torch.matmul(self.columns_in, maps).view(H * 2, m2 * B * C)
        modes = torch.matmul(self.rows_in, half).view(rows, 2, m2, B, C)
        inputs = modes.permute(0, 2, 1, 3, 4).reshape(plan.mode_count, 2 * B, C)
        products = torch.bmm(inputs, weight).view(rows, m2, 2, B, 2, O)
        spread = products.permute(0, 2, 4, 1, 3, 5).reshape(rows * 4, m2 * B * O)
        lines = torch.matmul(self.rows_out, spread).view(rH, 2 * m2, B * O)
        out = torch.matmul(self.columns_out, lines).view(rH, rW, B, O)
        return out.permute(2, 3, 0, 1)
