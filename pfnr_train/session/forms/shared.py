"""Values of the library's pool under a session's masks, as PFNR was published.

scores ─ top fraction ─▶ mask ─┐
pool ──────────────────────────┴▶ masked weights
 ▲ gradient only where the mask keeps a weight and no earlier session has frozen it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pfnr_train.library.values import Materialised, SharedValues
from pfnr_train.session.allocation import allocate
from pfnr_train.session.annealing import AnnealedMask
from pfnr_train.session.forms.base import Form, Start, Trained
from pfnr_train.session.initialise import new_head, new_scores
from pfnr_train.session.masks import MaskedWeight, SessionMask, SplitMask, TopMask
from pfnr_train.session.optimisers import SessionOptimiser
from pfnr_train.session.recipe import Recipe

# Of the number of weights that a planned session keeps, while it trains; none in the end.
SLACK = 0.005


class SharedForm(Form):
    """scores: leaves by tensor name. top: how each tensor's mask is found. free: by name, what may move."""

    def __init__(self, recipe: Recipe, start: Start, generator: torch.Generator) -> None:
        super().__init__(recipe, start)
        self.weights = {n: self._leaf(torch.from_numpy(w.copy())) for n, w in start.weights.items()}
        self.free: dict[str, Tensor | None] = dict.fromkeys(self.weights)
        for name, mask in start.frozen.items():
            if mask.any():
                self.free[name] = torch.from_numpy(~mask).to(self.device)
        first = new_scores(recipe.scores, self.weights, generator)
        self.scores = {n: self._leaf(s) for n, s in first.items()}
        self.head = {n: self._leaf(h) for n, h in new_head(start.config, generator).items()}
        self.top = self._mask_searches()
        scores = [s for n, s in self.scores.items() if self.top[n].reads_scores]
        self.optimiser = SessionOptimiser(recipe, self.weights, self.free, list(self.head.values()), scores)

    def _mask_searches(self) -> dict[str, SessionMask]:
        sizes = {n: w.numel() for n, w in self.weights.items()}
        free = {n: sizes[n] if (mask := self.free[n]) is None else int(mask.sum()) for n in sizes}
        found: dict[str, SessionMask] = {}
        for name, kept in allocate(sizes, free, self.recipe, self.start.session).items():
            mask = self.free[name]
            if mask is None and self.recipe.anneal:
                found[name] = AnnealedMask(kept.all, self.weights[name], self.recipe.anneal)
            elif mask is None or kept.new is None:
                found[name] = TopMask(kept.all)
            else:
                found[name] = SplitMask(kept.new, kept.all - kept.new, mask, SLACK)
        return found

    def leaves(self) -> dict[str, dict[str, Tensor]]:
        """See `Form`."""
        return {"weights": self.weights, "scores": self.scores, "head": self.head}

    def network(self, progress: float | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Form`: the weights under the masks that the scores give now."""
        masked = {
            name: MaskedWeight.apply(weight, self.scores[name], self.top[name](self.scores[name]), self.free[name])
            for name, weight in self.weights.items()
        }
        return masked, self.head

    def observe(self, step: int, progress: float) -> None:
        """See `Form`."""
        for name, search in self.top.items():
            search.observe(self.scores[name].grad, progress)
            if not search.reads_scores:  # no optimiser does: each step's gradient is to be its alone
                self.scores[name].grad = None

    def finish(self) -> Trained:
        """See `Form`."""
        masks = {name: self.top[name].exactly(scores).cpu().numpy() for name, scores in self.scores.items()}
        weights = {name: w.detach().cpu().numpy().copy() for name, w in self.weights.items()}
        for name, search in self.top.items():
            if search.moves_all:
                # Those that are not the session's stay as the next one needs them.
                weights[name] = np.where(masks[name], weights[name], self.start.weights[name])
        head = self._head_arrays()
        packed = {name: np.packbits(mask) for name, mask in masks.items()}
        return Trained(SharedValues(packed, head), Materialised(weights, head, masks))

    def state(self) -> dict[str, Any]:
        """See `Form`."""
        return {name: top.state_dict() for name, top in self.top.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `Form`."""
        for name, top in self.top.items():
            top.load_state_dict(state[name])
