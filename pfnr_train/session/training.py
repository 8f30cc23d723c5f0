"""One session's training: shared weights under a session's masks, one optimiser step at a time.

scores ─ top fraction ─▶ mask ─┐
shared weights ────────────────┴▶ masked weights ─▶ network ─▶ frames ─▶ loss
   ▲ gradient only where the mask keeps a weight and no earlier session has frozen it
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_runtime.errors import TrainingError
from pfnr_train.library.digests import Digest
from pfnr_train.machine.execution import DEFAULT, Execution
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import Network
from pfnr_train.model.precision import lowered
from pfnr_train.session.allocation import allocate
from pfnr_train.session.annealing import AnnealedMask
from pfnr_train.session.initialise import new_head, new_scores
from pfnr_train.session.loss import FrameLoss
from pfnr_train.session.masks import MaskedWeight, SessionMask, SplitMask, TopMask
from pfnr_train.session.optimisers import SessionOptimiser
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.schedule import learning_rate_factor

# What the optimiser moves, by attribute of `SessionTraining`: each a dict of tensors by name.
LEAVES = ("weights", "scores", "head")

# Of the number of weights that a planned session keeps, while it trains; none in the end.
SLACK = 0.005

# Processes that train together compare what they hold at the end of an epoch, at most every so many steps.
CHECK_EVERY = 100


@dataclass(frozen=True)
class StepResult:
    """What one step measured before it changed anything. psnr: dB, of the float frames of its batch."""

    step: int
    loss: float
    psnr: float


@dataclass(frozen=True)
class Trained:
    """What a session's training leaves: all shared weights, the session's masks (bool) and its head."""

    weights: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.bool_]]
    head: dict[str, NDArray[np.float32]]


class SessionTraining:
    """The state of a session being trained.

    frames: uint8 [N, H, W, 3]. table: float32 [N, 4L]. weights: the library's, copied. frozen: bool, by
    tensor name. session: its index. The same arguments give the same bits on a CPU with the same number of
    threads. Every process of several that train together holds all of it, alike, and sees its own frames.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: dict[str, NDArray[np.float32]],
        frozen: dict[str, NDArray[np.bool_]],
        frames: NDArray[np.uint8],
        table: NDArray[np.float32],
        recipe: Recipe,
        session: int = 0,
        execution: Execution = DEFAULT,
    ) -> None:
        self.config, self.recipe, self.execution, self.ranks = config, recipe, execution, execution.ranks
        self.device = torch.device(execution.device)
        self.generator = session_generator(recipe.seed, session)
        self.network = Network(config, fast=True).to(self.device)
        self.weights = {n: self._leaf(torch.from_numpy(w.copy())) for n, w in weights.items()}
        self.free = {
            n: torch.from_numpy(~mask).to(self.device) if mask.any() else None for n, mask in frozen.items()
        }
        start = new_scores(recipe.scores, self.weights, self.generator)
        self.scores = {n: self._leaf(s) for n, s in start.items()}
        self.head = {n: self._leaf(h) for n, h in new_head(config, self.generator).items()}
        self.top = self._mask_searches(session)
        self._start = weights
        self.table = torch.from_numpy(table).to(self.device)
        self.frame_count = len(frames)
        self.loss = FrameLoss(frames, recipe.loss, recipe.ssim_weight, self.device)
        scores = [s for n, s in self.scores.items() if self.top[n].reads_scores]
        self.optimiser = SessionOptimiser(recipe, self.weights, self.free, list(self.head.values()), scores)
        self.steps_per_epoch = math.ceil(len(frames) / recipe.batch)
        self.total_steps = self.steps_per_epoch * recipe.epochs
        self.step_count = 0
        self.order = torch.empty(0, dtype=torch.int64)  # of the frames in the epoch that is running
        self._checked_step = -CHECK_EVERY

    def _mask_searches(self, session: int) -> dict[str, SessionMask]:
        sizes = {n: w.numel() for n, w in self.weights.items()}
        free = {n: sizes[n] if (mask := self.free[n]) is None else int(mask.sum()) for n in sizes}
        found: dict[str, SessionMask] = {}
        for name, kept in allocate(sizes, free, self.recipe, session).items():
            mask = self.free[name]
            if mask is None and self.recipe.anneal:
                found[name] = AnnealedMask(kept.all, self.weights[name], self.recipe.anneal)
            elif mask is None or kept.new is None:
                found[name] = TopMask(kept.all)
            else:
                found[name] = SplitMask(kept.new, kept.all - kept.new, mask, SLACK)
        return found

    def _leaf(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device).requires_grad_()

    def run(self) -> Iterator[StepResult]:
        """Train to the end from wherever it stands, yielding after every step."""
        while self.step_count < self.total_steps:
            position = self.step_count % self.steps_per_epoch
            if position == 0:
                self._check_ranks()
                self.order = torch.randperm(self.frame_count, generator=self.generator)
            yield self.step(self.order.split(self.recipe.batch)[position])
        self._check_ranks(last=True)

    def _check_ranks(self, last: bool = False) -> None:
        if self.ranks.size > 1 and (last or self.step_count - self._checked_step >= CHECK_EVERY):
            self.ranks.check_same(self._digest(), f"after step {self.step_count} masks or weights are")
            self._checked_step = self.step_count

    def _digest(self) -> bytes:
        done = self.finish()
        return Digest().add_named(done.masks).add_named(done.weights).add_named(done.head).raw()

    def step(self, batch: Tensor) -> StepResult:
        """One optimiser step on the frames with these indices, int64 [B]."""
        factor = learning_rate_factor(self.step_count, self.total_steps, self.recipe.warmup)
        own, counts = self.ranks.part(batch)
        with lowered(self.recipe.precision, self.device):
            decoded = self.network(self.table[own], self.masked_weights(), self.head).float()
        loss, squared_error = self.loss(decoded, own)
        self.optimiser.zero_grad()
        (loss * counts).backward()  # type: ignore[no-untyped-call]
        moved = (leaf for kind in LEAVES for leaf in getattr(self, kind).values())
        value, squared_error = self.ranks.sum(moved, [float(loss.detach()) * counts, squared_error * counts])
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.step_count + 1} of {self.total_steps}; {self._advice}"
            )
        self.step_count += 1
        for name, search in self.top.items():
            search.observe(self.scores[name].grad, self.step_count / self.total_steps)
        self.optimiser.step(factor)
        return StepResult(self.step_count, value, -10 * math.log10(max(squared_error, 1e-10)))

    @property
    def _advice(self) -> str:
        return f"the library is left as it was. Try a lower --learning-rate than {self.recipe.learning_rate:g}"

    def masked_weights(self) -> dict[str, Tensor]:
        """The shared weights under the masks that the scores give now."""
        return {
            name: MaskedWeight.apply(weight, self.scores[name], self.top[name](self.scores[name]), self.free[name])
            for name, weight in self.weights.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """All that training changes, as nested dicts of tensors and plain values, not copied.

        Another training made with the same arguments that loads it goes on to the same bits.
        """
        return {
            "step_count": self.step_count,
            "order": self.order,
            "generator": self.generator.get_state(),
            "leaves": {kind: dict(getattr(self, kind)) for kind in LEAVES},
            "optimiser": self.optimiser.state_dict(),
            "top": {name: top.state_dict() for name, top in self.top.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; a KeyError, RuntimeError or ValueError if it does not fit."""
        with torch.no_grad():
            for kind in LEAVES:
                for name, leaf in getattr(self, kind).items():
                    leaf.copy_(state["leaves"][kind][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for name, top in self.top.items():
            top.load_state_dict(self._here(state["top"][name]))
        self.generator.set_state(state["generator"])
        self.step_count, self.order = int(state["step_count"]), state["order"]

    def _here(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._here(inner) for key, inner in value.items()}
        return value.to(self.device) if isinstance(value, Tensor) else value

    def finish(self) -> Trained:
        """The session as it stands now; a TrainingError if a weight is no longer a number."""
        for name, tensor in (*self.weights.items(), *((f"head.{n}", h) for n, h in self.head.items())):
            if not bool(torch.isfinite(tensor).all()):
                raise TrainingError(
                    f"{name} is no longer all numbers after step {self.step_count} of {self.total_steps}; "
                    f"{self._advice}"
                )
        masks = {name: self.top[name].exactly(scores).cpu().numpy() for name, scores in self.scores.items()}
        weights = {name: w.detach().cpu().numpy().copy() for name, w in self.weights.items()}
        for name, search in self.top.items():
            if search.moves_all:
                # Those that are not the session's stay as the next one needs them.
                weights[name] = np.where(masks[name], weights[name], self._start[name])
        return Trained(
            weights,
            masks,
            {name: h.detach().cpu().numpy().copy() for name, h in self.head.items()},
        )


def session_generator(seed: int, session: int) -> torch.Generator:
    """Random numbers of their own for every session, also where a person gives all the same seed.

    Equal scores in every session would make equal masks: later videos would share frozen weights only.
    """
    (mixed,) = np.random.SeedSequence([seed, session]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
