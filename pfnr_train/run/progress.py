"""What a person sees while a session trains: a bar with the running PSNR and the time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pfnr_runtime.system.messages import say
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining, StepResult


class TrainingProgress:
    """A progress bar on stderr; on something that is not a terminal, a line at once and ten more as it goes."""

    def __init__(self, name: str, recipe: Recipe, frames: int) -> None:
        self.name = name
        self.steps = -(-frames // recipe.batch) * recipe.epochs
        self.terminal = sys.stderr.isatty()
        self._psnr: float | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[psnr]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self.terminal,
        )
        self._task = self._bar.add_task(f"training {name}", total=self.steps, psnr="")

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        if not self.terminal:
            self._say(f"{self.steps} steps")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_step(self, training: SessionTraining, result: StepResult) -> None:
        """Show one more step; the PSNR shown is a running mean over about an epoch."""
        weight = max(1 / result.step, 1 / training.steps_per_epoch)
        self._psnr = result.psnr if self._psnr is None else self._psnr + weight * (result.psnr - self._psnr)
        shown = f"PSNR {self._psnr:.2f} dB"
        self._bar.update(self._task, completed=result.step, psnr=shown)
        tenth = max(1, self.steps // 10)
        if not self.terminal and (result.step % tenth == 0 or result.step == self.steps):
            self._say(f"step {result.step} of {self.steps}, {shown}")

    def _say(self, text: str) -> None:
        say(f"training {self.name}: {text}")


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
