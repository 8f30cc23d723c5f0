"""Progress as commands show it: a bar on a terminal, or a line for each stage."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from pfnr_runtime.system.messages import say
from pfnr_runtime.system.progress import Silent


class SaidStages(Silent):
    """One message for each stage."""

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Progress`."""
        say(name)


class Bar:
    """A progress bar on stderr with units done and their rate; a context manager.

    It draws on a terminal only, and nothing where quiet.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._start, self._done = 0.0, 0
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Progress`."""
        self._start, self._done = time.perf_counter(), 0
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total, rate="", note="")

    def advance(self, n: int = 1) -> None:
        """See `Progress`."""
        self._done += n
        if self._bar is not None:
            rate = self._done / (time.perf_counter() - self._start)
            self._bar.update(self._task, advance=n, rate=f"{rate:.1f} a second")

    def note(self, text: str) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.update(self._task, note=text)
