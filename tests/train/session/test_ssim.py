"""SSIM of the training loss is the published one, in value and in gradient."""

from __future__ import annotations

import pytest
import pytorch_msssim
import torch

from pfnr_train.session.ssim import Blur, TargetStatistics, ssim


def ours(decoded: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    blur = Blur(*target.shape[-2:], torch.device("cpu"), target.dtype)
    statistics = [TargetStatistics(frame, blur) for frame in target]
    means, variances = (torch.stack([getattr(s, n) for s in statistics]) for n in ("mean", "variance"))
    return ssim(decoded, target, means, variances, blur)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 180, 320), (3, 24, 40), (2, 11, 11), (1, 12, 37)])
def test_values_and_gradients_are_those_of_pytorch_msssim(batch: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(height)
    target = torch.rand(batch, 3, height, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(target.shape, generator=generator, dtype=torch.float64)
    decoded = (target + 0.1 * noise).clamp(0, 1).requires_grad_()
    value = ours(decoded, target)
    expected = pytorch_msssim.ssim(decoded, target, data_range=1.0, nonnegative_ssim=False)
    assert abs(float((value - expected).detach())) < 1e-6
    (got,), (wanted,) = (torch.autograd.grad(v, decoded) for v in (value, expected))
    # The package rounds its window to float32, which is all the difference there is.
    torch.testing.assert_close(got, wanted, atol=1e-6 * float(wanted.abs().max()), rtol=0)


def test_equal_frames_have_ssim_one() -> None:
    frame = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    assert float(ours(frame, frame)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 16), (1, 1), (2, 30)])
def test_frames_smaller_than_the_window_get_a_smaller_one(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64) for _ in range(2))
    assert -1 <= float(ours(a, b)) < float(ours(b, b)) <= 1 + 1e-9
