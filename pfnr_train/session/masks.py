"""Session masks: the top fraction of scores of a tensor, and gradients that go straight through them.

The mask of a tensor keeps its round(c·n) largest scores (arXiv 2306.11305, section 3.1). The exact
threshold is the k-th largest score; finding it from scratch at every step costs a third of a training step.
Scores move little from one step to the next, so the threshold is searched only among the few scores in a
band around the last one, after a count has shown that it lies there; otherwise the search starts afresh.
The result is the same mask, always. Where one of nearly the right size will do, while training goes on, the last
threshold serves again as long as the number kept with it is within a slack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def kept_count(size: int, density: float) -> int:
    """How many of `size` weights a density in (0, 1] keeps: at least one."""
    return min(size, max(1, round(size * density)))


def top_mask(scores: Tensor, keep: int) -> Tensor:
    """Bool mask of the `keep` largest scores, by a full search; scores equal to the last one kept stay too."""
    return scores >= kth_largest(scores.flatten(), keep)


def kth_largest(values: Tensor, k: int) -> Tensor:
    """The k-th largest of a flat tensor (k from 1)."""
    return values.kthvalue(values.numel() - k + 1).values


class SessionMask(ABC):
    """How a session's mask of one tensor is found, step after step."""

    reads_scores = True  # or they have no part in it
    moves_all = False  # whether training moves weights that the mask does not keep in the end

    @abstractmethod
    def __call__(self, scores: Tensor) -> Tensor:
        """Bool mask to train with."""

    @abstractmethod
    def exactly(self, scores: Tensor) -> Tensor:
        """Bool mask of exactly the wanted number of weights."""

    def observe(self, change: Tensor | None, progress: float) -> None:  # noqa: B027, scores know already
        """Take in ∂loss/∂w · w, the scores' gradient, of a step at this progress, in (0, 1]."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Where the search stands."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another search's state."""


class TopMask(SessionMask):
    """The mask of one score tensor, kept up to date from step to step. Same result as `top_mask`, or nearly.

    slack: part of `keep` by which the number kept may be off; 0 for none.
    """

    _FRACTION = 0.02  # of all scores, in each half of the band

    def __init__(self, keep: int, slack: float = 0.0) -> None:
        self.keep, self.slack = keep, slack
        self._last: Tensor | None = None  # threshold
        self.searches = 0  # full searches so far: the first one, and whenever the band was left
        self._low: Tensor | None = None
        self._high: Tensor | None = None
        self._half_width: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Where the search stands; without it the same masks are found, only later."""
        return {name: value for name, value in vars(self).items() if name not in ("keep", "slack")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another search's state."""
        vars(self).update(state)

    def __call__(self, scores: Tensor) -> Tensor:
        """Bool mask of the `keep` largest scores."""
        scores = scores.detach()
        if self.keep >= scores.numel():
            return torch.ones_like(scores, dtype=torch.bool)
        if self.slack and self._last is not None:
            mask = scores >= self._last
            if abs(int(torch.count_nonzero(mask)) - self.keep) <= self.slack * self.keep:
                return mask
        self._last = self._threshold(scores.flatten())
        return scores >= self._last

    def exactly(self, scores: Tensor) -> Tensor:
        """Bool mask of the `keep` largest scores, without any slack."""
        return top_mask(scores.detach(), self.keep)

    def _threshold(self, flat: Tensor) -> Tensor:
        if self._low is not None and self._high is not None:
            above = flat > self._high
            inside = (flat >= self._low) ^ above
            rank = self.keep - int(torch.count_nonzero(above))
            band = flat[inside]
            if 0 < rank <= band.numel():
                threshold = kth_largest(band, rank)
                self._recentre(threshold)
                return threshold
        self.searches += 1
        threshold = kth_largest(flat, self.keep)
        reach = max(1, int(self._FRACTION * flat.numel()))
        upper = kth_largest(flat, max(1, self.keep - reach))
        lower = kth_largest(flat, min(flat.numel(), self.keep + reach))
        self._half_width = (upper - lower) / 2
        self._recentre(threshold)
        return threshold

    def _recentre(self, threshold: Tensor) -> None:
        assert self._half_width is not None
        self._low, self._high = threshold - self._half_width, threshold + self._half_width


class SplitMask(SessionMask):
    """The mask of the `new` largest scores of free weights and the `old` largest of frozen ones, nearly.

    free: bool, the tensor's shape, with True and False in it. slack: as of `TopMask`, of both.
    """

    def __init__(self, new: int, old: int, free: Tensor, slack: float = 0.0) -> None:
        self._parts = [
            (TopMask(keep, slack), where.flatten().nonzero().flatten())
            for keep, where in ((new, free), (old, ~free))
            if keep
        ]

    def state_dict(self) -> dict[str, Any]:
        """Where both searches stand."""
        return {str(i): top.state_dict() for i, (top, _) in enumerate(self._parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from other searches' states."""
        for i, (top, _) in enumerate(self._parts):
            top.load_state_dict(state[str(i)])

    def __call__(self, scores: Tensor) -> Tensor:
        """Bool mask, of nearly the right numbers."""
        return self._join(scores, [top for top, _ in self._parts])

    def exactly(self, scores: Tensor) -> Tensor:
        """Bool mask, without any slack."""
        return self._join(scores, [top.exactly for top, _ in self._parts])

    def _join(self, scores: Tensor, searches: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
        flat = scores.detach().flatten()
        mask = torch.zeros_like(flat, dtype=torch.bool)
        for search, (_, places) in zip(searches, self._parts, strict=True):
            mask.index_copy_(0, places, search(flat.index_select(0, places)))
        return mask.view_as(scores)


class MaskedWeight(torch.autograd.Function):
    """weight ∘ mask, with a straight-through gradient to the scores and none to frozen weights.

    d/d weight = gradient where the mask keeps the weight and no earlier session has frozen it;
    d/d scores = gradient ∘ weight, as if the mask were the scores themselves.
    """

    @staticmethod
    def forward(ctx, weight: Tensor, scores: Tensor, mask: Tensor, free: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def, override]
        # As numbers: a product with a bool tensor takes three times as long.
        kept = mask.to(weight.dtype)
        ctx.save_for_backward(weight, kept if free is None else (mask & free).to(weight.dtype))
        return weight * kept

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def, override]
        weight, trainable = ctx.saved_tensors
        return gradient * trainable, gradient * weight, None, None
