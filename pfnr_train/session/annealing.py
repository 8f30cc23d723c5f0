"""A first session's weights, found by thinning out the whole network while the session trains.

Training starts with every weight and ends with the session's share of them. Those that matter least go first:
the saliency of a weight is the running mean of (∂loss/∂w · w)², the squared change of the loss without it to
first order (Molchanov et al. 2019, arXiv 1906.10771), and the number kept falls along a cubic (Zhu and Gupta 2017,
arXiv 1710.01878):

    kept(p) = keep + (all − keep) · (1 − p / until)³          p: progress of the training, 0 to 1

A weight that was dropped keeps being measured, as if it were there, and may come back until the end of the
annealing. In a Fourier weight saliencies are compared after a division by their mode's mean: low modes matter most
to every video, and a first video that took them all would leave later ones worse off.

It is for tensors that no session uses yet. Later sessions live on a few new weights and many frozen ones, and do
better with scores for both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pfnr_train.session.masks import SessionMask, top_mask

MEMORY = 0.98  # of the running mean, a step
UPDATE_EVERY = 8  # steps


class AnnealedMask(SessionMask):
    """The mask of what is left of `weight`, whatever the scores.

    keep: entries in the end. until: progress, in (0, 1], at which they are found.
    """

    reads_scores = False
    moves_all = True

    def __init__(self, keep: int, weight: Tensor, until: float) -> None:
        self._keep, self._until = keep, until
        self._kept = torch.ones_like(weight, dtype=torch.bool)
        self._saliency = torch.zeros_like(weight)
        self._observed = 0
        self.done = keep >= weight.numel()

    def state_dict(self) -> dict[str, Any]:
        """What has been measured and found so far."""
        return {"kept": self._kept, "saliency": self._saliency, "observed": self._observed, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another's state."""
        self._kept, self._saliency = state["kept"], state["saliency"]
        self._observed, self.done = int(state["observed"]), bool(state["done"])

    def __call__(self, scores: Tensor) -> Tensor:
        """See `SessionMask`."""
        return self._kept

    def exactly(self, scores: Tensor) -> Tensor:
        """See `SessionMask`."""
        return self._kept

    def observe(self, change: Tensor | None, progress: float) -> None:
        """See `SessionMask`; every few steps, drop what matters least."""
        if self.done:
            return
        assert change is not None
        self._saliency.mul_(MEMORY).addcmul_(change, change, value=1 - MEMORY)
        self._observed += 1
        self.done = progress >= self._until
        if self.done:
            # Saliencies can be equal, where a unit is dead; the number in the end is exact all the same.
            order = self._levelled().flatten().argsort(descending=True, stable=True)
            self._kept = torch.zeros_like(self._kept)
            self._kept.view(-1).index_fill_(0, order[: self._keep], True)
            self._saliency = self._saliency.new_empty(0)  # not needed any more, nor in a saved state
        elif self._observed % UPDATE_EVERY == 0:
            surplus = self._kept.numel() - self._keep
            keep = self._keep + round(surplus * (1 - progress / self._until) ** 3)
            self._kept = top_mask(self._levelled(), keep)

    def _levelled(self) -> Tensor:
        """Saliencies to compare."""
        if self._saliency.dim() != 3:
            return self._saliency
        return self._saliency / self._saliency.mean((1, 2), keepdim=True).clamp(min=1e-30)
