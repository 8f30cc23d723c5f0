"""A session's new weights, found by thinning out all free ones while the session trains.

Training starts with every free weight and ends with the session's share of them. What goes is what matters least:
the saliency of a weight is the running mean of (∂loss/∂w · w)², the squared change of the loss without it to
first order (Molchanov et al. 2019, arXiv 1906.10771), and the number kept falls along a cubic (Zhu and Gupta 2017,
arXiv 1710.01878):

    kept(p) = new + (free − new) · (1 − p / until)³          p: progress of the training, 0 to 1

A weight that was dropped keeps being measured, as if it were there, and may come back until the end of the
annealing. In a Fourier weight saliencies are compared after a division by their mode's mean: low modes matter most
to every video, and one that took them all would leave those after it worse off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pfnr_train.masking import TopMask, top_mask

MEMORY = 0.98  # of the running mean, a step
UPDATE_EVERY = 8  # steps
SLACK = 0.005  # of the number of frozen weights kept while training goes on


class AnnealedMask:
    """The mask of what is left of the free weights, and of the `old` largest scores of frozen ones.

    new: free weights kept in the end. free: bool, of the tensor's shape. until: progress, in (0, 1], at which
    they are found.
    """

    def __init__(self, new: int, old: int, free: Tensor, until: float) -> None:
        self._new, self._until, self._free = new, until, free
        self._count = int(free.sum())
        self._in_mode = free.flatten(1).sum(1, keepdim=True).clamp(min=1) if free.dim() == 3 else None
        self._frozen = (~free).flatten().nonzero().flatten()
        self._old = TopMask(old, SLACK) if old else None
        self._kept = free.clone() if new else torch.zeros_like(free)
        self._saliency = torch.zeros(free.shape, device=free.device)
        self._observed = 0
        self.done = new in (0, self._count)

    @property
    def reads_scores(self) -> bool:
        """Whether the mask depends on scores."""
        return self._old is not None

    def state_dict(self) -> dict[str, Any]:
        """What has been measured and found so far."""
        old = {} if self._old is None else self._old.state_dict()
        found = {"kept": self._kept, "saliency": self._saliency, "observed": self._observed, "done": self.done}
        return found | {"old": old}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where another stood."""
        self._kept, self._saliency = state["kept"], state["saliency"]
        self._observed, self.done = int(state["observed"]), bool(state["done"])
        if self._old is not None:
            self._old.load_state_dict(state["old"])

    def __call__(self, scores: Tensor) -> Tensor:
        """Bool mask, of nearly the right number of frozen weights."""
        return self._with_old(scores, self._old)

    def exactly(self, scores: Tensor) -> Tensor:
        """Bool mask of exactly the right number of frozen weights."""
        return self._with_old(scores, None if self._old is None else self._old.exactly)

    def _with_old(self, scores: Tensor, search: Callable[[Tensor], Tensor] | None) -> Tensor:
        if search is None:
            return self._kept
        mask = self._kept.flatten().clone()
        mask.index_copy_(0, self._frozen, search(scores.detach().flatten().index_select(0, self._frozen)))
        return mask.view_as(scores)

    def observe(self, change: Tensor, progress: float) -> None:
        """Take in ∂loss/∂w · w of a step at this progress; every few steps, drop what matters least."""
        if self.done:
            return
        self._saliency.mul_(MEMORY).addcmul_(change, change, value=1 - MEMORY)
        self._observed += 1
        self.done = progress >= self._until
        if self.done:
            # Saliencies can be equal, where a unit is dead; the number in the end is exact all the same.
            order = self._levelled().flatten().argsort(descending=True, stable=True)
            kept = torch.zeros(order.numel(), dtype=torch.bool, device=order.device)
            self._kept = kept.index_fill_(0, order[: self._new], True).view_as(self._kept)
        elif self._observed % UPDATE_EVERY == 0:
            keep = self._new + round((self._count - self._new) * (1 - progress / self._until) ** 3)
            self._kept = top_mask(self._levelled(), keep) & self._free

    def _levelled(self) -> Tensor:
        """Saliencies to compare; −1 where weights are frozen."""
        found = self._saliency * self._free
        if self._in_mode is not None:
            means = found.flatten(1).sum(1, keepdim=True) / self._in_mode
            found = (found.flatten(1) / means.clamp(min=1e-30)).view_as(found)
        return found.sub_(1.0 - self._free.float())
