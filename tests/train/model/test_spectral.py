"""The Fourier block: its definition, and the matrix form that trains and exports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pfnr_train.model.config import PLACEMENTS
from pfnr_train.model.spectral import MatmulMixer, SpectralPlan, mix_by_definition

SEEDS = st.integers(0, 2**32 - 1)
PLANS = st.builds(
    SpectralPlan, st.integers(2, 9), st.integers(2, 9), st.sampled_from([1, 2, 3, 5]), st.sampled_from(PLACEMENTS)
)


def made(plan: SpectralPlan, seed: int, batch: int = 2, inputs: int = 3, outputs: int = 2) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, inputs, plan.rows, plan.columns, generator=generator, dtype=torch.float64)
    weight = torch.randn(plan.mode_count, inputs, 2 * outputs, generator=generator, dtype=torch.float64)
    return x, weight


def mix_by_sums(x: NDArray, weight: NDArray, plan: SpectralPlan) -> NDArray:
    """The block as plain sums over pixels and modes, with nothing borrowed from the code under test."""
    H, W, r = plan.rows, plan.columns, plan.stride
    m1, m2, rH, rW, O = H // 2, W // 2, H * r, W * r, weight.shape[2] // 2  # noqa: E741
    matrices = (weight[..., :O] + 1j * weight[..., O:]).reshape(2 * m1, m2, -1, O)
    h, w, hh, ww = np.arange(H), np.arange(W), np.arange(rH), np.arange(rW)
    out = np.zeros((len(x), O, rH, rW))
    for band in range(2 * m1):
        u = band if band < m1 else H - 2 * m1 + band
        u_out = u if band < m1 or plan.placement == "reference" else rH - 2 * m1 + band
        for v in range(m2):
            wave = np.exp(-2j * np.pi * (u * h[:, None] / H + v * w[None, :] / W)) / (H * W)
            mixed = np.einsum("bchw,hw->bc", x, wave) @ matrices[band, v]
            rows = np.einsum("bo,h->boh", mixed, np.exp(2j * np.pi * u_out * hh / rH))
            if v == 0:
                # A real inverse drops what is imaginary in column 0.
                out += rows.real[..., None]
            else:
                out += 2 * np.einsum("boh,w->bohw", rows, np.exp(2j * np.pi * v * ww / rW)).real
    return out


def mix_as_the_authors_do(x: NDArray, weight: NDArray, plan: SpectralPlan) -> NDArray:
    """rfft2, two bands mixed in a spectrum of the input's size, zeros padded at the end, irfft2 (scaled alike)."""
    H, W, r = plan.rows, plan.columns, plan.stride
    m1, m2, O = H // 2, W // 2, weight.shape[2] // 2  # noqa: E741
    matrices = (weight[..., :O] + 1j * weight[..., O:]).reshape(2, m1, m2, -1, O)
    spectrum = np.fft.rfft2(x)
    out = np.zeros((len(x), O, H, W // 2 + 1), complex)
    out[:, :, :m1, :m2] = np.einsum("bcuv,uvco->bouv", spectrum[:, :, :m1, :m2], matrices[0])
    out[:, :, -m1:, :m2] = np.einsum("bcuv,uvco->bouv", spectrum[:, :, -m1:, :m2], matrices[1])
    padded = np.pad(out, [(0, 0), (0, 0), (0, r * H - H), (0, r * W // 2 + 1 - (W // 2 + 1))])
    return np.fft.irfft2(padded, s=(r * H, r * W)) * r * r


@settings(max_examples=40, deadline=None, derandomize=True)
@given(plan=PLANS, seed=SEEDS)
def test_the_definition_is_the_sum_over_kept_modes(plan: SpectralPlan, seed: int) -> None:
    x, weight = made(plan, seed)
    expected = mix_by_sums(x.numpy(), weight.numpy(), plan)
    np.testing.assert_allclose(mix_by_definition(x, weight, plan).numpy(), expected, atol=1e-12, rtol=0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=st.integers(2, 9), columns=st.integers(2, 9), stride=st.sampled_from([1, 2, 3, 5]), seed=SEEDS)
def test_reference_placement_is_padding_at_the_end_of_the_spectrum(
    rows: int, columns: int, stride: int, seed: int
) -> None:
    plan = SpectralPlan(rows, columns, stride, "reference")
    x, weight = made(plan, seed)
    expected = mix_as_the_authors_do(x.numpy(), weight.numpy(), plan)
    np.testing.assert_allclose(mix_by_definition(x, weight, plan).numpy(), expected, atol=1e-12, rtol=0)


def test_the_placements_are_the_same_only_without_upsampling() -> None:
    for stride, same in ((1, True), (2, False)):
        plans = [SpectralPlan(6, 7, stride, placement) for placement in PLACEMENTS]
        x, weight = made(plans[0], 0)
        first, second = (mix_by_definition(x, weight, plan) for plan in plans)
        assert torch.allclose(first, second) is same


def test_centered_placement_keeps_a_sampled_wave_and_draws_it_finer() -> None:
    # A wave with a negative row frequency, identity mixing: the same wave on the larger grid.
    plan = SpectralPlan(9, 16, 3, "centered")
    y, x = np.mgrid[0:9, 0:16]
    fine_y, fine_x = np.mgrid[0:27, 0:48] / 3
    wave = np.cos(2 * np.pi * (-2 * y / 9 + 3 * x / 16))
    expected = np.cos(2 * np.pi * (-2 * fine_y / 9 + 3 * fine_x / 16))
    identity = torch.zeros(plan.mode_count, 1, 2, dtype=torch.float64)
    identity[..., 0] = 1
    got = mix_by_definition(torch.from_numpy(wave)[None, None], identity, plan)
    np.testing.assert_allclose(got[0, 0].numpy(), expected, atol=1e-13)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(plan=PLANS, seed=SEEDS, batch=st.integers(1, 3))
def test_the_matrix_form_is_the_definition(plan: SpectralPlan, seed: int, batch: int) -> None:
    x, weight = made(plan, seed, batch)
    got = MatmulMixer(plan, torch.float64)(x, weight)
    np.testing.assert_allclose(got.numpy(), mix_by_definition(x, weight, plan).numpy(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_matrix_form_is_the_definition_at_real_sizes(placement: str) -> None:
    for rows, columns, stride in ((9, 16, 5), (45, 80, 2)):
        plan = SpectralPlan(rows, columns, stride, placement)
        x, weight = made(plan, rows)
        got, expected = MatmulMixer(plan, torch.float64)(x, weight), mix_by_definition(x, weight, plan)
        assert float((got - expected).abs().max()) < 1e-13 * float(expected.abs().max()) * 10


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradients_of_the_matrix_form_are_those_of_the_definition(placement: str) -> None:
    plan = SpectralPlan(5, 6, 2, placement)
    x, weight = (t.requires_grad_() for t in made(plan, 1))
    up = torch.randn(2, 2, 10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    forms = (MatmulMixer(plan, torch.float64), lambda a, b: mix_by_definition(a, b, plan))
    first, second = (torch.autograd.grad((form(x, weight) * up).sum(), (x, weight)) for form in forms)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
