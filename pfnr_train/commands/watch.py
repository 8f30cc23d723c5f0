"""What watches a session while it trains: the progress bar, and TensorBoard where asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_train.run.add_session import OnStep
from pfnr_train.run.progress import TrainingProgress
from pfnr_train.run.tensorboard import TensorBoardLog
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining, StepResult


@contextlib.contextmanager
def watch(name: str, recipe: Recipe, frames: NDArray[np.uint8], tensorboard: Path | None) -> Iterator[OnStep]:
    """What to call after every step of a session trained on frames uint8 [N, H, W, 3]."""
    with contextlib.ExitStack() as stack:
        watchers = [stack.enter_context(TrainingProgress(name, recipe, len(frames))).on_step]
        if tensorboard is not None:
            watchers.append(stack.enter_context(TensorBoardLog(tensorboard, name, frames)).on_step)

        def on_step(training: SessionTraining, result: StepResult) -> None:
            for watcher in watchers:
                watcher(training, result)

        yield on_step
