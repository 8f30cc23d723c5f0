"""SOAP against its definition, written out in float64 with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pfnr_train.session.optimisers.soap import Soap, as_matrices, turned_sides


def soap_by_definition(
    start: np.ndarray, gradients: list[np.ndarray], lr: float, refresh: int, sides: str
) -> np.ndarray:
    """Matrices [b, m, n] under SOAP that turns `sides`, with the bases as `np.linalg` gives them."""
    beta1, beta2, eps = 0.9, 0.95, 0.02
    weight = start.copy()
    first, second = np.zeros_like(start), np.zeros_like(start)
    scale = np.sqrt((gradients[0] ** 2).mean())
    left, right = sum(g @ g.T for g in gradients[0]), sum(g.T @ g for g in gradients[0])
    ql = np.linalg.eigh(left)[1][:, ::-1] if "l" in sides else np.eye(len(left))
    qr = np.linalg.eigh(right)[1][:, ::-1] if "r" in sides else np.eye(len(right))
    for step, gradient in enumerate(gradients, 1):
        rotated = ql.T @ gradient @ qr
        first = beta1 * first + (1 - beta1) * rotated
        second = beta2 * second + (1 - beta2) * rotated**2
        direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps * scale)
        weight = weight - lr * ql @ direction @ qr.T
        if step % 2 == 0:
            left = beta2**2 * left + (1 - beta2**2) * sum(g @ g.T for g in gradient)
            right = beta2**2 * right + (1 - beta2**2) * sum(g.T @ g for g in gradient)
        if step % refresh == 0:
            scale = np.sqrt(second.mean() / (1 - beta2**step))
            plain = ql @ first @ qr.T
            if "l" in sides:
                order = np.argsort(-np.diag(ql.T @ left @ ql), kind="stable")
                second, ql = second[:, order], np.linalg.qr((left @ ql)[:, order])[0]
            if "r" in sides:
                order = np.argsort(-np.diag(qr.T @ right @ qr), kind="stable")
                second, qr = second[:, :, order], np.linalg.qr((right @ qr)[:, order])[0]
            first = ql.T @ plain @ qr
    return weight


# A covariance of a first gradient of less rank than its size would leave eigenvectors to choice.
@pytest.mark.parametrize(
    ("shape", "largest", "short", "sides"),
    [
        ((5, 5), 5, 5, "lr"),
        ((6, 4), 4, 4, "r"),
        ((4, 6), 4, 5, "l"),
        ((6, 4), 3, 5, ""),
        ((3, 4, 6), 4, 9, "l"),
        ((3, 6, 4), 4, 9, "r"),
        ((3, 6, 4), 3, 9, ""),
    ],
)
def test_weights_move_as_the_definition_says(shape: tuple[int, ...], largest: int, short: int, sides: str) -> None:
    draw = np.random.default_rng(0)
    start, gradients = draw.normal(size=shape), [draw.normal(size=shape) for _ in range(23)]
    leaf = torch.from_numpy(start.copy()).requires_grad_()
    soap = Soap([leaf], {}, lr=0.01, refresh=5, largest=largest, short=short)
    for gradient in gradients:
        leaf.grad = torch.from_numpy(gradient)
        soap.step()
    batch = (-1, *shape[-2:])
    expected = soap_by_definition(start.reshape(batch), [g.reshape(batch) for g in gradients], 0.01, 5, sides)
    assert np.abs(leaf.detach().numpy() - expected.reshape(shape)).max() < 1e-10


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((1, 128, 160), {"left", "right"}),
        ((1, 2304, 128), {"right"}),
        ((1, 400, 144), {"right"}),
        ((1, 2800, 1008), {"right"}),
        ((1, 2048, 1152), set()),
        ((1760, 16, 32), {"left"}),
        ((900, 32, 16), {"right"}),
    ],
)
def test_the_smaller_side_is_turned_and_the_larger_one_where_it_is_short(
    shape: tuple[int, ...], sides: set
) -> None:
    assert set(turned_sides(torch.Size(shape), 1024, 256)) == sides


def test_directions_without_a_gradient_stay_where_they_are() -> None:
    """A gradient of rank one, as of a linear layer at batch 1, plus rounding noise: nothing else may move."""
    draw = torch.Generator().manual_seed(3)
    row, column = torch.randn(8, generator=draw), torch.randn(8, generator=draw)
    leaf = torch.zeros(8, 8).requires_grad_()
    soap = Soap([leaf], {}, lr=0.1)
    for _ in range(20):
        leaf.grad = torch.outer(row, column) * 1e-4 + 1e-10 * torch.randn(8, 8, generator=draw)
        soap.step()
    values = torch.linalg.svdvals(leaf.detach())
    assert values[1] < 1e-3 * values[0]


def test_a_side_longer_than_the_largest_keeps_its_basis() -> None:
    """With its smaller side too long, SOAP is Adam."""
    draw = torch.Generator().manual_seed(1)
    ours = torch.randn(7, 9, generator=draw).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    soap = Soap([ours], {}, lr=0.01, eps=0, largest=5, short=5)
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.95))
    for _ in range(25):
        ours.grad = torch.randn(7, 9, generator=draw)
        theirs.grad = ours.grad.clone()
        soap.step()
        adam.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frozen_entries_keep_their_bits_minus_zero_among_them(dtype: torch.dtype) -> None:
    leaf = torch.tensor([[-0.0, 1.0], [2.0, -0.0]], dtype=dtype).requires_grad_()
    free = torch.tensor([[False, True], [False, False]])
    before = leaf.detach().numpy().copy()
    soap = Soap([leaf], {leaf: free}, lr=0.1)
    leaf.grad = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=dtype)
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
