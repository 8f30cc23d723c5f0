"""One session's training: weights of some form, one optimiser step at a time.

leaves ─ form ─▶ weights ─▶ network ─▶ frames ─▶ loss ─▶ gradients ─▶ optimiser ─▶ leaves

What the leaves are, and how a step's weights come from them, is the form's (`pfnr_train.session.forms`).
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
from pfnr_train.model.network import make_network
from pfnr_train.model.precision import lowered
from pfnr_train.session.forms import FORMS, Start, Trained
from pfnr_train.session.forms.base import Arrays
from pfnr_train.session.loss import FrameLoss
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.schedule import learning_rate_factor

# Processes that train together compare what they hold at the end of an epoch, at most every so many steps.
CHECK_EVERY = 100


@dataclass(frozen=True)
class StepResult:
    """What one step measured before it changed anything. psnr: dB, of the float frames of its batch.

    size: bytes that the session would take; None where its form does not count them.
    """

    step: int
    loss: float
    psnr: float
    size: float | None = None


class SessionTraining:
    """The state of a session being trained.

    - weights: float32, by tensor name, the library's pool or the session's own first values; copied.
    - frozen: bool, by name, which of them may not move.
    - frames: uint8 [N, H, W, 3].
    - table: float32 [N, 4L].
    - session: its index.
    - parent: an earlier session's index and weights.

    The same arguments give the same bits on a CPU with the same number of threads. Every process of several that
    train together holds all of it, alike, and sees its own frames.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Arrays,
        frozen: dict[str, NDArray[np.bool_]],
        frames: NDArray[np.uint8],
        table: NDArray[np.float32],
        recipe: Recipe,
        session: int = 0,
        execution: Execution = DEFAULT,
        parent: tuple[int, Arrays] | None = None,
    ) -> None:
        self.config, self.recipe, self.execution, self.ranks = config, recipe, execution, execution.ranks
        self.device = torch.device(execution.device)
        self.generator = session_generator(recipe.seed, session)
        self.network = make_network(config, fast=True).to(self.device)
        pixels = math.prod(frames.shape[:3])
        start = Start(config, weights, frozen, session, pixels, self.device, parent)
        self.form = FORMS[recipe.values](recipe, start, self.generator)
        self.table = torch.from_numpy(table).to(self.device)
        self.frame_count = len(frames)
        self.loss = FrameLoss(frames, recipe.loss, recipe.ssim_weight, self.device)
        self.steps_per_epoch = math.ceil(len(frames) / recipe.batch)
        self.total_steps = self.steps_per_epoch * recipe.epochs
        self.step_count = 0
        self.order = torch.empty(0, dtype=torch.int64)  # of the frames in the epoch that is running
        self._checked_step = -CHECK_EVERY

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
        progress = self.step_count / self.total_steps
        own, counts = self.ranks.part(batch)
        weights, head = self.form.network(progress)
        with lowered(self.recipe.precision, self.device):
            decoded = self.network(self.table[own], weights, head).float()
        distance, squared_error = self.loss(decoded, own)
        loss = self.form.objective(distance, progress)
        self.form.optimiser.zero_grad()
        (loss * counts).backward()  # type: ignore[no-untyped-call]
        moved = (leaf for leaves in self.form.leaves().values() for leaf in leaves.values())
        value, squared_error = self.ranks.sum(moved, [float(loss.detach()) * counts, squared_error * counts])
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.step_count + 1} of {self.total_steps}; {self._advice}"
            )
        size = self.form.size
        self.step_count += 1
        self.form.observe(self.step_count, self.step_count / self.total_steps)
        self.form.optimiser.step(factor)
        return StepResult(self.step_count, value, -10 * math.log10(max(squared_error, 1e-10)), size)

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Frames [B, 3, H, W] with these indices, int64 [B], as the session stands now."""
        weights, head = self.form.network(None)
        frames: Tensor = self.network(self.table[indices], weights, head)
        return frames

    @property
    def _advice(self) -> str:
        return f"the library is left as it was. Try a lower `learning_rate` than {self.recipe.learning_rate:g}"

    def state_dict(self) -> dict[str, Any]:
        """All that training changes, as nested dicts of tensors and plain values, not copied.

        Another training made with the same arguments that loads it goes on to the same bits.
        """
        return {
            "step_count": self.step_count,
            "order": self.order,
            "generator": self.generator.get_state(),
            "leaves": self.form.leaves(),
            "optimiser": self.form.optimiser.state_dict(),
            "form": self.form.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; a KeyError, RuntimeError or ValueError if it does not fit."""
        with torch.no_grad():
            for kind, leaves in self.form.leaves().items():
                for name, leaf in leaves.items():
                    leaf.copy_(state["leaves"][kind][name])
        self.form.optimiser.load_state_dict(state["optimiser"])
        self.form.load_state(self._here(state["form"]))
        self.generator.set_state(state["generator"])
        self.step_count, self.order = int(state["step_count"]), state["order"]

    def _here(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._here(inner) for key, inner in value.items()}
        return value.to(self.device) if isinstance(value, Tensor) else value

    def finish(self) -> Trained:
        """The session as it stands now; a TrainingError if a weight is no longer a number."""
        for kind, leaves in self.form.leaves().items():
            for name, tensor in leaves.items():
                if not bool(torch.isfinite(tensor).all()):
                    raise TrainingError(
                        f"{name if kind == 'weights' else f'{kind}.{name}'} is no longer all numbers after step "
                        f"{self.step_count} of {self.total_steps}; {self._advice}"
                    )
        return self.form.finish()


def session_generator(seed: int, session: int) -> torch.Generator:
    """Independent random numbers for every session, even if all are given the same seed.

    Equal scores in every session would make equal masks: later videos would share frozen weights only.
    """
    (mixed,) = np.random.SeedSequence([seed, session]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
