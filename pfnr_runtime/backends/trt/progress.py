"""Progress of an engine build: the library's nested phases, on stderr."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from types import TracebackType
from typing import Any


class BuildProgress:
    """Phases and steps reported by the library, from any thread; drawn only on a terminal.

    Nothing is drawn where rich is not installed, which a program without the commands may lack. Phases lie inside
    one another and run at once, so they are no stages of a `Progress`.

    stop: set it to make the library abort the build at its next step.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stop = False
        self._lock = threading.Lock()
        self._bar: Any = None
        self._tasks: dict[str, tuple[Any, int]] = {}

    def __enter__(self) -> BuildProgress:
        if sys.stderr.isatty() and find_spec("rich") is not None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins inside `parent`."""
        with self._lock:
            depth = self._tasks[parent][1] + 1 if parent in self._tasks else 0
            task = None
            if self._bar is not None:
                task = self._bar.add_task(f"{'  ' * depth}{phase}", total=max(steps, 1))
            self._tasks[phase] = (task, depth)

    def step_complete(self, phase: str, step: int) -> bool:
        """A step is done; False asks the library to stop."""
        with self._lock:
            task = self._tasks.get(phase, (None, 0))[0]
            if self._bar is not None and task is not None:
                self._bar.update(task, completed=step + 1)
        return not self.stop

    def phase_finish(self, phase: str) -> None:
        """A phase has ended."""
        with self._lock:
            task = self._tasks.pop(phase, (None, 0))[0]
            if self._bar is not None and task is not None:
                self._bar.remove_task(task)

    def monitor(self, trt: Any) -> Any:
        """This as the library's IProgressMonitor. Keep it alive until the build ends."""
        progress = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                progress.phase_start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return progress.step_complete(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                progress.phase_finish(phase_name)

        return Monitor()
