"""The optimisers of a session's tensors: one for the weights, Adam for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pfnr_train.session.optimisers.soap import Soap
from pfnr_train.session.recipe import Recipe


class SessionOptimiser:
    """The optimisers of one session's training, as one.

    - weights: shared tensors by name, trained by the recipe's optimiser.
    - free: by name, which of their entries may move; all, where it is None.
    - heads, scores: trained by Adam; the scores, or the steps of grids, have their own rate.
    - plain: names of weights that Adam trains regardless of the recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: Mapping[str, Tensor],
        free: Mapping[str, Tensor | None],
        heads: list[Tensor],
        scores: list[Tensor] | None = None,
        plain: frozenset[str] = frozenset(),
    ) -> None:
        betas = (recipe.beta1, recipe.beta2)
        # A vector of biases has no covariances worth a basis. Frozen entries get no gradient, so Adam leaves
        # them alone by itself.
        matrices = [n for n, w in weights.items() if w.dim() > 1 and recipe.optimiser == "soap" and n not in plain]
        others = [w for n, w in weights.items() if n not in matrices]
        groups: list[dict[str, Any]] = [{"params": [*others, *heads], "peak": recipe.learning_rate}]
        if scores:
            groups.append({"params": scores, "peak": recipe.score_rate})
        self._parts: list[torch.optim.Optimizer] = [torch.optim.Adam(groups, betas=betas, fused=True)]
        if matrices:
            masks = {weights[n]: free[n] for n in matrices}
            group = {"params": [weights[n] for n in matrices], "peak": recipe.learning_rate}
            self._parts.append(Soap([group], masks, betas=betas))

    @property
    def learning_rate(self) -> float:
        """Of weights and heads at the last step."""
        rate: float = self._parts[0].param_groups[0]["lr"]
        return rate

    def raise_peak(self, leaves: list[Tensor], factor: float) -> None:
        """Give these leaves so many times the peak rate of the others. Call it before the first step."""
        for part in self._parts:
            for group in list(part.param_groups):
                chosen = [leaf for leaf in group["params"] if any(leaf is other for other in leaves)]
                if chosen:
                    group["params"] = [leaf for leaf in group["params"] if not any(leaf is c for c in chosen)]
                    part.add_param_group({**group, "params": chosen, "peak": group["peak"] * factor})

    def step(self, factor: float) -> None:
        """Move everything that has a gradient, at this fraction of the peak rates."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = group["peak"] * factor
            part.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """What the optimisers remember, as nested dicts of tensors and plain values, not copied."""
        return {str(i): part.state_dict() for i, part in enumerate(self._parts)}

    def expected_state(self, part: str) -> dict[int, dict[str, Any]]:
        """What a part of `state_dict` remembers of each weight after a step: tensors without memory, and plain
        values of the right type.
        """
        chosen = self._parts[int(part)]
        leaves = [leaf for group in chosen.param_groups for leaf in group["params"]]
        return {i: _expected(chosen, leaf) for i, leaf in enumerate(leaves)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; a KeyError or ValueError if it does not fit."""
        for i, part in enumerate(self._parts):
            part.load_state_dict(state[str(i)])


def _expected(part: torch.optim.Optimizer, leaf: Tensor) -> dict[str, Any]:
    like = torch.empty_like(leaf, device="meta")
    if isinstance(part, Soap):
        return part.expected_state(like)
    return {"step": torch.empty((), device="meta"), "exp_avg": like, "exp_avg_sq": like}
