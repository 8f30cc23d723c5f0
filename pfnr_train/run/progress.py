"""What a training reports of itself: its steps, and which session of a sequence it is at."""

from __future__ import annotations

import time

from pfnr_runtime.system.messages import say
from pfnr_runtime.system.progress import Progress
from pfnr_train.session.training import SessionTraining, StepResult


class StepProgress:
    """Reports a training's steps to a `Progress`, with the PSNR as a running mean over about an epoch."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._psnr: float | None = None
        self._step = 0  # the last one reported: a resumed training begins later than at the first

    def on_step(self, training: SessionTraining, result: StepResult) -> None:
        """Report one more step."""
        weight = max(1 / result.step, 1 / training.steps_per_epoch)
        self._psnr = result.psnr if self._psnr is None else self._psnr + weight * (result.psnr - self._psnr)
        self._progress.note(f"PSNR {self._psnr:.2f} dB")
        self._progress.advance(result.step - self._step)
        self._step = result.step


class SequenceProgress:
    """Which session of a sequence is being trained, and about how long the others will take."""

    def __init__(self, names: list[str], done: int) -> None:
        self._names = names
        self._next = done
        self._trained = 0
        self._start = time.monotonic()

    def begin(self) -> None:
        """The next session starts."""
        left = ""
        if self._trained:
            each = (time.monotonic() - self._start) / self._trained
            left = f", about {_duration(each * (len(self._names) - self._next))} left"
        say(f"session {self._next + 1} of {len(self._names)}: {self._names[self._next]}{left}")

    def end(self, psnr: float | None) -> None:
        """It is in the library."""
        figure = "" if psnr is None else f", PSNR {psnr:.2f} dB"
        say(f"session {self._next + 1} of {len(self._names)}: {self._names[self._next]} done{figure}")
        self._next += 1
        self._trained += 1


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
