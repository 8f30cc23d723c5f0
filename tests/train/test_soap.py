"""SOAP against its definition, written out in float64 with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pfnr_train.optimisers.soap import Soap, as_matrices


def soap_by_definition(
    start: np.ndarray, gradients: list[np.ndarray], lr: float, refresh: int, largest: int
) -> np.ndarray:
    """One matrix [m, n] under SOAP, with the bases as `np.linalg` gives them."""
    beta1, beta2, eps = 0.9, 0.95, 1e-8
    weight = start.copy()
    first, second = np.zeros_like(start), np.zeros_like(start)
    left, right = gradients[0] @ gradients[0].T, gradients[0].T @ gradients[0]
    ql, qr = (np.linalg.eigh(c)[1][:, ::-1] if len(c) <= largest else np.eye(len(c)) for c in (left, right))
    for step, gradient in enumerate(gradients, 1):
        rotated = ql.T @ gradient @ qr
        first = beta1 * first + (1 - beta1) * rotated
        second = beta2 * second + (1 - beta2) * rotated**2
        direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)
        weight = weight - lr * ql @ direction @ qr.T
        left = beta2 * left + (1 - beta2) * gradient @ gradient.T
        right = beta2 * right + (1 - beta2) * gradient.T @ gradient
        if step % refresh == 0:
            plain = ql @ first @ qr.T
            if len(ql) <= largest:
                order = np.argsort(-np.diag(ql.T @ left @ ql), kind="stable")
                second, ql = second[order], np.linalg.qr((left @ ql)[:, order])[0]
            if len(qr) <= largest:
                order = np.argsort(-np.diag(qr.T @ right @ qr), kind="stable")
                second, qr = second[:, order], np.linalg.qr((right @ qr)[:, order])[0]
            first = ql.T @ plain @ qr
    return weight


# A covariance of a first gradient of less rank than its size would leave eigenvectors to choice.
@pytest.mark.parametrize(("shape", "largest"), [((5, 5), 5), ((6, 4), 4), ((4, 6), 4), ((6, 4), 3)])
def test_a_matrix_moves_as_the_definition_says(shape: tuple[int, int], largest: int) -> None:
    draw = np.random.default_rng(0)
    start, gradients = draw.normal(size=shape), [draw.normal(size=shape) for _ in range(23)]
    leaf = torch.from_numpy(start.copy()).requires_grad_()
    soap = Soap([leaf], {}, lr=0.01, refresh=5, largest=largest)
    for gradient in gradients:
        leaf.grad = torch.from_numpy(gradient)
        soap.step()
    expected = soap_by_definition(start, gradients, 0.01, 5, largest)
    # In its own eigenbasis the first gradient is diagonal: rounding noise of 1e-16 off it meets an ε of 1e-8.
    assert np.abs(leaf.detach().numpy() - expected).max() < 1e-7


def test_every_mode_of_a_fourier_weight_moves_as_if_it_were_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 4, 6, generator=draw, dtype=torch.float64)
    together = weight.clone().requires_grad_()
    alone = [w.clone().requires_grad_() for w in weight]
    one, many = Soap([together], {}, lr=0.1), Soap(alone, {}, lr=0.1)
    for _ in range(12):
        together.grad = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
        for leaf, gradient in zip(alone, together.grad, strict=True):
            leaf.grad = gradient.clone()
        one.step()
        many.step()
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-10, rtol=0)


def test_a_side_longer_than_the_largest_keeps_its_basis() -> None:
    """With both sides too long, SOAP is Adam."""
    draw = torch.Generator().manual_seed(1)
    ours = torch.randn(7, 9, generator=draw).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    soap = Soap([ours], {}, lr=0.01, largest=5)
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.95))
    for _ in range(25):
        ours.grad = torch.randn(7, 9, generator=draw)
        theirs.grad = ours.grad.clone()
        soap.step()
        adam.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_frozen_entries_keep_their_bits_minus_zero_among_them() -> None:
    leaf = torch.tensor([[-0.0, 1.0], [2.0, -0.0]]).requires_grad_()
    free = torch.tensor([[False, True], [False, False]])
    before = leaf.detach().numpy().copy()
    soap = Soap([leaf], {leaf: free}, lr=0.1)
    leaf.grad = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    soap.step()
    after = leaf.detach().numpy()
    assert after[~free.numpy()].tobytes() == before[~free.numpy()].tobytes()
    assert after[0, 1] == pytest.approx(0.9, abs=1e-3)


def test_a_loaded_state_goes_on_to_the_same_bits() -> None:
    draw = torch.Generator().manual_seed(2)
    gradients = [torch.randn(6, 3, 3, 3, generator=draw) for _ in range(24)]
    start = torch.randn(6, 3, 3, 3, generator=draw)

    def run(leaf: torch.Tensor, soap: Soap, some: list[torch.Tensor]) -> None:
        for gradient in some:
            leaf.grad = gradient.clone()
            soap.step()

    whole = start.clone().requires_grad_()
    unbroken = Soap([whole], {}, lr=0.01)
    run(whole, unbroken, gradients[:13])
    saved, position = unbroken.state_dict(), whole.detach().clone()
    resumed = position.requires_grad_()
    second = Soap([resumed], {}, lr=0.01)
    second.load_state_dict(saved)
    state = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in second.state[resumed].items()}
    second.state[resumed] = state
    run(resumed, second, gradients[13:])
    run(whole, unbroken, gradients[13:])
    assert torch.equal(whole, resumed)


def test_the_views_are_matrices_of_outputs_and_inputs() -> None:
    assert as_matrices(torch.zeros(8, 5)).shape == (1, 8, 5)
    assert as_matrices(torch.zeros(8, 5, 3, 3)).shape == (1, 8, 45)
    assert as_matrices(torch.zeros(11, 5, 6)).shape == (11, 5, 6)
