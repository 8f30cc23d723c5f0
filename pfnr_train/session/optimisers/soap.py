"""SOAP: Adam in the eigenbases of a gradient's covariances (Vyas et al. 2024, arXiv 2409.11321), the cheap way.

For a weight seen as a batch of matrices W [b, m, n] with gradient G:

    L ← β·L + (1−β)·Σ_b G Gᵀ,   R ← β·R + (1−β)·Σ_b Gᵀ G     one pair for all of the batch, every second step
    Q_L, Q_R: their eigenvectors, kept up to date by one step of power iteration and QR every few steps
    W ← W − lr · Q_L · Adam(Q_Lᵀ G Q_R) · Q_Rᵀ

What the views are: a linear layer is one matrix, a convolution [O, I, 3, 3] one matrix O×9I, and a Fourier weight
[K, C, 2·O] is K matrices, one per mode. The smaller side of a matrix is turned, and the larger one too where it is
short; of a batch the smaller one only. All other sides keep the identity for a basis. Bases for all sides, and for
every mode its own, take up to twice the time per step and gain nothing over more steps.

Where this departs from the published Algorithm 3:

- some sides of a matrix have no basis, as above;
- covariances are measured at every second step, with β² for β;
- ε is relative, as below;
- the first step moves the weights, in the bases of its gradient; the authors' program only takes bases from it.

As in that program, eigenvectors stay in falling order of eigenvalue, and the second moment follows them.

Adam's ε is relative to the gradient's own size. Many directions of the basis have no gradient at all at batch 1,
and an absolute ε small enough for all layers would divide their rounding noise by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

Bits = tuple[Tensor, Tensor]

SIDES = {"left": -2, "right": -1}
MEASURE_EVERY = 2  # steps, of the covariances
LEAST_EPS = 1e-20  # where there is no gradient at all


class Soap(torch.optim.Optimizer):
    """SOAP on weights of two or more axes, of which it leaves frozen entries alone to the bit.

    - params: leaves, float32 or float64.
    - free: by leaf, a bool mask of the entries that may move; all, where it has none.
    - lr: learning rate.
    - betas: of Adam's two moments in the eigenbasis; the second is that of the covariances too.
    - eps: Adam's ε over the root mean square of the gradient's entries.
    - refresh: steps between two updates of the bases.
    - largest, short: longest smaller and longest larger side of a matrix that get a basis.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        free: Mapping[Tensor, Tensor | None],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 0.02,
        refresh: int = 10,
        largest: int = 1024,
        short: int = 256,
    ) -> None:
        settings = {"eps": eps, "refresh": refresh, "largest": largest, "short": short}
        super().__init__(params, {"lr": lr, "betas": betas} | settings)
        self._bits = {leaf: _bits(mask, leaf.dtype) for leaf, mask in free.items() if mask is not None}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every leaf that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for leaf in group["params"]:
                if leaf.grad is None:
                    continue
                update = _update(self.state[leaf], as_matrices(leaf.grad), group).reshape(leaf.shape)
                if leaf in self._bits:
                    _silence(update, self._bits[leaf])
                leaf.add_(update)

    def expected_state(self, weight: Tensor) -> dict[str, Any]:
        """What is remembered of a weight after a step, in tensors without memory."""
        matrices, settings = as_matrices(weight), self.defaults
        state: dict[str, Any] = {"step": torch.empty((), device="meta"), "scale": 0.0}
        state |= {"first": matrices, "second": matrices}
        for side, axis in turned_sides(matrices.shape, settings["largest"], settings["short"]).items():
            size = matrices.shape[axis]
            state[side] = state[f"{side}_basis"] = matrices.new_empty((size, size))
        return state


def as_matrices(weight: Tensor) -> Tensor:
    """A view of a weight as a batch of matrices [b, m, n]."""
    return weight if weight.dim() == 3 else weight.flatten(1)[None]


def _bits(free: Tensor, dtype: torch.dtype) -> Bits:
    """Bit patterns of a number's size: all ones where `free`, and a sign alone where not."""
    integer = torch.int64 if dtype == torch.float64 else torch.int32
    whole = torch.tensor(-1, dtype=integer, device=free.device)
    sign = torch.tensor(torch.iinfo(integer).min, dtype=integer, device=free.device)
    nothing = torch.zeros_like(whole)
    return torch.where(free, whole, nothing), torch.where(free, nothing, sign)


def _silence(update: Tensor, bits: Bits) -> None:
    """Make frozen entries −0, all that can be added to a −0 and leave its bits. `where` takes 20 times as long."""
    keep, sign = bits
    update.view(keep.dtype).bitwise_and_(keep).bitwise_or_(sign)


def turned_sides(shape: torch.Size, largest: int, short: int) -> dict[str, int]:
    """Which sides of matrices [b, m, n] get a basis: `left`, of axis −2, and `right`, of axis −1."""
    matrices, m, n = shape
    smaller, larger = ("left", "right") if m <= n else ("right", "left")
    wanted = [smaller] if min(m, n) <= largest else []
    if matrices == 1 and max(m, n) <= short:
        wanted.append(larger)
    return {side: axis for side, axis in SIDES.items() if side in wanted}


def _update(state: dict[str, Any], gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
    """The update of a weight, as matrices; a new tensor."""
    beta1, beta2 = group["betas"]
    sides = turned_sides(gradient.shape, group["largest"], group["short"])
    if not state:
        # The fused kernel wants the count of steps where the weight is.
        state |= {"step": torch.zeros((), device=gradient.device), "scale": float(gradient.square().mean().sqrt())}
        state |= {"first": torch.zeros_like(gradient), "second": torch.zeros_like(gradient)}
        for side, axis in sides.items():
            state[side] = _covariance(gradient, axis)
            state[f"{side}_basis"] = _eigenvectors(state[side])
    turned = _turn(gradient, state, sides)
    moved = torch.zeros_like(turned)
    adam(
        *([moved], [turned], [state["first"]], [state["second"]], [], [state["step"]]),
        fused=True,
        amsgrad=False,
        maximize=False,
        weight_decay=0.0,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        eps=max(LEAST_EPS, group["eps"] * state["scale"]),
    )
    update = _turn(moved, state, sides, back=True)
    step = int(state["step"])
    if step % MEASURE_EVERY == 0:
        for side, axis in sides.items():
            state[side].lerp_(_covariance(gradient, axis), 1 - beta2**MEASURE_EVERY)
    if step % group["refresh"] == 0:
        state["scale"] = math.sqrt(float(state["second"].mean()) / (1 - beta2**step))
        _refresh(state, sides)
    return update


def _covariance(gradient: Tensor, axis: int) -> Tensor:
    if axis == SIDES["left"]:
        return (gradient @ gradient.mT).sum(0)
    rows = gradient.flatten(0, 1)
    return rows.mT @ rows


def _eigenvectors(covariance: Tensor) -> Tensor:
    # One gradient's covariance is nearly always singular: LAPACK's float32 solver can fail on it.
    vectors = torch.linalg.eigh(covariance.double()).eigenvectors
    return vectors.flip(-1).to(covariance.dtype).contiguous()


def _turn(matrices: Tensor, state: Mapping[str, Any], sides: Mapping[str, int], back: bool = False) -> Tensor:
    """Matrices in the bases, or back from them."""
    for side, axis in sides.items():
        basis = state[f"{side}_basis"].mT if back else state[f"{side}_basis"]
        left = axis == SIDES["left"]
        matrices = basis.mT.expand(len(matrices), -1, -1) @ matrices if left else matrices @ basis
    return matrices


def _refresh(state: dict[str, Any], sides: Mapping[str, int]) -> None:
    """One step of orthogonal iteration towards the covariances' eigenvectors.

    The first moment is carried over into the new bases. The second, a vector of squares, has no exact image
    there; its entries follow their eigenvectors, which are kept in falling order of eigenvalue.
    """
    plain = _turn(state["first"], state, sides, back=True)
    for side, axis in sides.items():
        basis = state[f"{side}_basis"]
        advanced = state[side] @ basis
        order = (basis * advanced).sum(0).argsort(descending=True, stable=True)
        state["second"] = state["second"].index_select(axis, order)
        state[f"{side}_basis"] = torch.linalg.qr(advanced[:, order]).Q.contiguous()
    state["first"] = _turn(plain, state, sides).contiguous()
