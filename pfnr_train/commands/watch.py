"""A command's progress display: a bar with a running figure and the time left."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pfnr_runtime.system.messages import say


class TerminalProgress:
    """A `Progress` on stderr: a bar; if that is not a terminal, eleven lines per stage."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._name, self._total, self._done, self._note = "", 0, 0, ""
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Progress`."""
        self._name, self._total, self._done, self._note = name, total or 0, 0, ""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total, note="")
        self._bar.start()
        if not self._terminal:
            say(name if total is None else f"{name}: {total} steps")

    def advance(self, n: int = 1) -> None:
        """See `Progress`."""
        self._done += n
        if self._task is not None:
            self._bar.update(self._task, completed=self._done, note=self._note)
        tenth = max(1, self._total // 10)
        if not self._terminal and (self._done % tenth == 0 or self._done == self._total):
            note = f", {self._note}" if self._note else ""
            say(f"{self._name}: step {self._done} of {self._total}{note}")

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._note = text
