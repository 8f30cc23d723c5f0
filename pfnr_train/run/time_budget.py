"""How many epochs fit a time: the step is timed first, so that the schedule reaches its end in time.

A number of epochs chosen before training, and recorded with the session, keeps training repeatable: the same
command with that number as --epochs gives the same bytes. Only the choice depends on the machine.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_train.clips import Clip
from pfnr_train.evaluation.quality import measure_quality
from pfnr_train.library.library import Library
from pfnr_train.machine.execution import Execution
from pfnr_train.model.decode import decode_all
from pfnr_train.run.add_session import new_training
from pfnr_train.run.failures import explains_failures
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining

# Steps are timed for this part of the budget, between these bounds in seconds, early, midway and late in the
# schedule, since a recipe may do less in a step later on.
TIMED_PART, LEAST_TIMED, MOST_TIMED = 0.02, 1.0, 30.0
MOMENTS = (0.1, 0.5, 0.9)
LONG = 100_000  # epochs of the training that is only timed, and the most a recipe allows
SAMPLE = 4  # frames decoded to time the final measurement


def epochs_in(
    seconds: float, started: float, library: Library, clip: Clip, recipe: Recipe, execution: Execution
) -> int:
    """How many epochs end within `seconds` of `started` (time.monotonic), measuring of quality included.

    A UsageError if that is not one.
    """
    timed = min(MOST_TIMED, max(LEAST_TIMED, TIMED_PART * seconds))
    with explains_failures(recipe.batch, execution.device):
        training = new_training(library, clip, replace(recipe, epochs=LONG), execution)
        first, step = _time_steps(training, timed)
    epoch = step * training.steps_per_epoch
    # A separate training starts as this one did, with whatever its first step has to set up.
    after = max(0.0, first - step) + _time_measuring(training, clip)
    left = seconds - (time.monotonic() - started) - after
    epochs = execution.ranks.first(min(LONG, int(left / epoch)))
    if epochs < 1:
        needed = seconds - left + epoch
        raise UsageError(
            f"a time budget of {seconds:.0f} s is too short: one epoch takes {epoch:.1f} s here, with start and "
            f"measuring {math.ceil(needed)} s; give so much, or take fewer `frames` or a smaller network"
        )
    say(f"time budget {seconds:.0f} s: a step takes {step * 1e3:.1f} ms, so {epochs} epochs")
    return epochs


def _time_steps(training: SessionTraining, seconds: float) -> tuple[float, float]:
    """Seconds of the first step, and of a step on average over the schedule."""
    batches = torch.arange(training.frame_count).split(training.recipe.batch)[:SAMPLE]
    began = time.monotonic()
    training.step(batches[0])
    first = time.monotonic() - began
    total = 0.0
    for moment in MOMENTS:
        training.step_count = int(moment * training.total_steps)
        for batch in batches:  # whatever this part of the schedule sets up once
            training.step(batch)
        began, steps = time.monotonic(), 0
        # The processes of one training must time the same number of steps, so the leading one says when.
        while training.ranks.first(int(time.monotonic() - began < seconds / len(MOMENTS))):
            for batch in batches:
                training.step(batch)
            steps += len(batches)
        total += (time.monotonic() - began) / steps
    return first, total / len(MOMENTS)


def _time_measuring(training: SessionTraining, clip: Clip) -> float:
    """Seconds that decoding and measuring all frames takes, from a few of them."""
    done = training.finish()
    few = min(SAMPLE, training.frame_count)
    weights = done.network.session_weights(training.config, training.table[:few].cpu().numpy())
    began = time.monotonic()
    measure_quality(decode_all(weights), clip.frames[:few])
    return (time.monotonic() - began) * training.frame_count / few
