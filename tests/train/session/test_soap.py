"""SOAP against Algorithm 3 of Vyas et al. 2024 (arXiv 2409.11321), written out in float64 with NumPy.

Ours departs from it on purpose in three places, and each is tested by itself: one basis per weight and the
identity for its other sides, covariances measured at every second step, and an ε relative to the gradient's size.
In a fourth it departs from the authors' program, and so does the definition here: the first step already moves the
weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pfnr_train.session.optimisers import soap as soap_module
from pfnr_train.session.optimisers.soap import Soap, as_matrices, turned_sides

BETA1, BETA2, EPSILON = 0.9, 0.95, 1e-6


@dataclass(frozen=True)
class Departures:
    """Where the algorithm may differ from the published one; the defaults are the paper's.

    - sides: that get a basis, of "l" and "r".
    - every: steps between two measurements of the covariances.
    - relative: ε over the root mean square of the gradient's entries, taken anew whenever the bases are; None for
      the published ε, one number for all weights and steps.
    """

    sides: str = "lr"
    every: int = 1
    relative: float | None = None


PUBLISHED = Departures()
OURS = Departures(every=2, relative=0.02)


def soap_by_definition(
    start: np.ndarray, gradients: list[np.ndarray], lr: float, refresh: int, departs: Departures = PUBLISHED
) -> np.ndarray:
    """Matrices [b, m, n] after Algorithm 3, with Adam's bias correction and bases from the first gradient.

    As in the authors' own program, ε is added to the root of V, and columns of a basis stay in falling order of
    eigenvalue, which V follows.
    """
    weight = start.copy()
    moment, square = np.zeros_like(start), np.zeros_like(start)
    left, right = sum(g @ g.T for g in gradients[0]), sum(g.T @ g for g in gradients[0])
    ql = np.linalg.eigh(left)[1][:, ::-1] if "l" in departs.sides else np.eye(len(left))
    qr = np.linalg.eigh(right)[1][:, ::-1] if "r" in departs.sides else np.eye(len(right))
    absolute = departs.relative is None
    eps = EPSILON if absolute else departs.relative * np.sqrt((gradients[0] ** 2).mean())
    keep = BETA2**departs.every
    for t, g in enumerate(gradients, 1):
        moment = BETA1 * moment + (1 - BETA1) * g
        square = BETA2 * square + (1 - BETA2) * (ql.T @ g @ qr) ** 2
        turned = ql.T @ moment @ qr / (1 - BETA1**t)
        turned = turned / (np.sqrt(square / (1 - BETA2**t)) + eps)
        weight = weight - lr * ql @ turned @ qr.T
        if t % departs.every == 0:
            left = keep * left + (1 - keep) * sum(x @ x.T for x in g)
            right = keep * right + (1 - keep) * sum(x.T @ x for x in g)
        if t % refresh == 0:
            eps = EPSILON if absolute else departs.relative * np.sqrt(square.mean() / (1 - BETA2**t))
            if "l" in departs.sides:
                ql, order = power_iteration(left, ql)
                square = square[:, order]
            if "r" in departs.sides:
                qr, order = power_iteration(right, qr)
                square = square[:, :, order]
    return weight


def power_iteration(covariance: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 4: the basis after one step towards the eigenvectors, and the order that its columns took."""
    order = np.argsort(-np.diag(basis.T @ covariance @ basis), kind="stable")
    return np.linalg.qr((covariance @ basis)[:, order])[0], order


def made(shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """A weight and 23 gradients."""
    draw = np.random.default_rng(0)
    return draw.normal(size=shape), [draw.normal(size=shape) for _ in range(23)]


def moved(start: np.ndarray, gradients: list[np.ndarray], **settings: float) -> np.ndarray:
    """The weight as `Soap` leaves it."""
    leaf = torch.from_numpy(start.copy()).requires_grad_()
    soap = Soap([leaf], {}, lr=0.01, refresh=5, **settings)
    for gradient in gradients:
        leaf.grad = torch.from_numpy(gradient)
        soap.step()
    return leaf.detach().numpy()


def defined(start: np.ndarray, gradients: list[np.ndarray], departs: Departures) -> np.ndarray:
    """The weight as the definition leaves it."""
    batch = (-1, *start.shape[-2:])
    found = soap_by_definition(start.reshape(batch), [g.reshape(batch) for g in gradients], 0.01, 5, departs)
    return found.reshape(start.shape)


def test_without_our_departures_weights_move_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soap_module, "MEASURE_EVERY", 1)
    monkeypatch.setattr(soap_module, "LEAST_EPS", EPSILON)
    start, gradients = made((7, 7))
    ours = moved(start, gradients, eps=0, largest=7, short=7)
    assert np.abs(ours - defined(start, gradients, PUBLISHED)).max() < 1e-10


@pytest.mark.parametrize(
    ("departs", "every", "settings"),
    [
        (Departures(sides="l"), 1, {"eps": 0, "short": 6}),
        (Departures(every=2), 2, {"eps": 0, "short": 7}),
        (Departures(relative=0.02), 1, {"eps": 0.02, "short": 7}),
    ],
    ids=["one basis a weight", "covariances every second step", "relative epsilon"],
)
def test_each_departure_alone_is_the_stated_one(
    departs: Departures, every: int, settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soap_module, "MEASURE_EVERY", every)
    monkeypatch.setattr(soap_module, "LEAST_EPS", EPSILON)
    start, gradients = made((7, 7))
    ours = moved(start, gradients, largest=7, **settings)
    assert np.abs(ours - defined(start, gradients, departs)).max() < 1e-10
    assert np.abs(ours - defined(start, gradients, PUBLISHED)).max() > 1e-4


def test_a_relative_epsilon_makes_the_path_the_same_at_any_size_of_the_gradient() -> None:
    start, gradients = made((7, 7))
    small = [g * 2.0**-40 for g in gradients]
    settings = {"largest": 7, "short": 7}
    assert np.abs(moved(start, gradients, **settings) - moved(start, small, **settings)).max() < 1e-10


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
def test_with_all_departures_weights_move_as_the_definition_says(
    shape: tuple[int, ...], largest: int, short: int, sides: str
) -> None:
    start, gradients = made(shape)
    ours = moved(start, gradients, largest=largest, short=short)
    assert np.abs(ours - defined(start, gradients, replace(OURS, sides=sides))).max() < 1e-10


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
