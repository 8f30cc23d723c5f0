"""Bits that quantised weights will take, as a function training can minimise.

Weights on a grid of step d are whole numbers q = round(w / d). A group of n of them whose mean magnitude is m
takes, coded with the two-sided geometric distribution that fits them best, P(q) = (1 − t) / (1 + t) · t^|q|,

    bits = n · (log2 ((1 + t) / (1 − t)) − m · log2 t)      t = m / (1 + √(1 + m²))

whose derivative by m is −n · log2 t: what it costs to make a weight one step larger. Rounding with a dither is
unbiased in |q|, so that m may be the mean |w / d| while noise stands for rounding. Groups are the weights of an
input channel, mode or column, which differ in scale. Counting bits in training goes back to Ballé et al. 2017
(arXiv 1611.01704), for the weights of networks to Oktay et al. 2020 (arXiv 1906.06624).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pfnr_train.model.canvas import LATENTS

LEAST_MEAN = 1e-5  # m of a group that is all zeros, which then takes about no bits; keeps the derivative finite


def group_bits(mean: Tensor, count: int) -> Tensor:
    """Bits of groups of `count` whole numbers each, by their mean magnitudes."""
    m = mean.clamp(min=LEAST_MEAN)
    t = m / (1 + torch.sqrt(1 + m * m))
    return (torch.log1p(t) - torch.log1p(-t) - m * torch.log(t)) * (count / math.log(2))


def group_axes(name: str, dimensions: int) -> tuple[int, ...]:
    """The axes of a tensor over which one scale serves."""
    if name == LATENTS:  # a scale for each cosine of time and channel
        return (2, 3)
    if dimensions == 3:  # a Fourier weight: a scale for each mode; a canvas: for each channel
        return (1, 2)
    if dimensions == 4:  # a convolution: for each input channel
        return (0, 2, 3)
    return (0,) if name == "stem.1.weight" else tuple(range(dimensions))


def tensor_bits(name: str, symbols: Tensor) -> Tensor:
    """Bits of all symbols of a tensor together, each group at its own scale. A scalar."""
    means = symbols.abs().mean(group_axes(name, symbols.dim()))
    return group_bits(means, symbols.numel() // means.numel()).sum()
