"""SOAP: Adam in the eigenbasis of a matrix' gradient covariances (Vyas et al. 2024, arXiv 2409.11321).

For a weight seen as a batch of matrices W [b, m, n] with gradient G:

    L ← β·L + (1−β)·G Gᵀ,   R ← β·R + (1−β)·Gᵀ G          one pair a matrix
    Q_L, Q_R: their eigenvectors, kept up to date by one step of power iteration and QR every few steps
    W ← W − lr · Q_L · Adam(Q_Lᵀ G Q_R) · Q_Rᵀ

A side longer than `largest` keeps the identity for a basis. What the views are: a linear layer is one matrix,
a convolution [O, I, 3, 3] one matrix O×9I, and a Fourier weight [K, C, 2·O] is K matrices, one a mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

LEFT, RIGHT = -2, -1


class Soap(torch.optim.Optimizer):
    """SOAP on weights of two or more axes, of which it leaves frozen entries alone to the bit.

    params: leaves, float32 or float64. free: by leaf, a bool mask of the entries that may move; all, where it
    has none. lr: learning rate. betas: of Adam's two moments in the eigenbasis; the second is that of the
    covariances too. refresh: steps between two updates of the bases. largest: longest side that gets a basis.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        free: Mapping[Tensor, Tensor | None],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        refresh: int = 10,
        largest: int = 1024,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "refresh": refresh, "largest": largest})
        self._free = free

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every leaf that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for leaf in group["params"]:
                if leaf.grad is None:
                    continue
                update = _update(self.state[leaf], as_matrices(leaf.grad), group)
                update = update.reshape(leaf.shape).mul_(-group["lr"])
                free = self._free.get(leaf)
                # Only −0 can be added to a frozen weight that may be −0 itself and leave its bits.
                leaf.add_(update if free is None else torch.where(free, update, -0.0))


def as_matrices(weight: Tensor) -> Tensor:
    """A view of a weight as a batch of matrices [b, m, n]."""
    return weight if weight.dim() == 3 else weight.flatten(1)[None]


def _update(state: dict[str, Any], gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
    beta1, beta2 = group["betas"]
    if not state:
        state |= {"step": 0, "first": torch.zeros_like(gradient), "second": torch.zeros_like(gradient)}
        for name, axis in (("left", LEFT), ("right", RIGHT)):
            if gradient.shape[axis] <= group["largest"]:
                covariance = _covariance(gradient, axis)
                state[name] = covariance
                state[f"{name}_basis"] = _eigenvectors(covariance)
    state["step"] += 1
    step = state["step"]
    rotated = _rotate(state, gradient)
    state["first"].lerp_(rotated, 1 - beta1)
    state["second"].mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
    direction = (state["first"] / (1 - beta1**step)).div_(
        (state["second"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
    )
    update = _rotate_back(state, direction)
    for name, axis in (("left", LEFT), ("right", RIGHT)):
        if name in state:
            state[name].lerp_(_covariance(gradient, axis), 1 - beta2)
    if step % group["refresh"] == 0:
        _refresh(state)
    return update


def _eigenvectors(covariance: Tensor) -> Tensor:
    # One gradient's covariance is nearly always singular: LAPACK's float32 solver can fail on it.
    vectors = torch.linalg.eigh(covariance.double()).eigenvectors
    return vectors.flip(-1).to(covariance.dtype).contiguous()


def _covariance(gradient: Tensor, axis: int) -> Tensor:
    return gradient @ gradient.mT if axis == LEFT else gradient.mT @ gradient


def _rotate(state: Mapping[str, Any], matrix: Tensor) -> Tensor:
    if "left" in state:
        matrix = state["left_basis"].mT @ matrix
    return matrix @ state["right_basis"] if "right" in state else matrix


def _rotate_back(state: Mapping[str, Any], matrix: Tensor) -> Tensor:
    if "left" in state:
        matrix = state["left_basis"] @ matrix
    return matrix @ state["right_basis"].mT if "right" in state else matrix


def _refresh(state: dict[str, Any]) -> None:
    """One step of orthogonal iteration towards the covariances' eigenvectors.

    The first moment is carried over into the new bases. The second, a vector of squares, has no exact image
    there; its entries follow their eigenvectors, which are kept in falling order of eigenvalue.
    """
    first = _rotate_back(state, state["first"])
    for name, axis in (("left", LEFT), ("right", RIGHT)):
        if name not in state:
            continue
        basis = state[f"{name}_basis"]
        advanced = state[name] @ basis
        order = (basis * advanced).sum(-2).argsort(dim=-1, descending=True, stable=True)
        advanced = advanced.gather(-1, order[:, None, :].expand_as(advanced))
        index = order[:, :, None] if axis == LEFT else order[:, None, :]
        state["second"] = state["second"].gather(axis, index.expand_as(state["second"]))
        state[f"{name}_basis"] = torch.linalg.qr(advanced).Q
    state["first"] = _rotate(state, first)
