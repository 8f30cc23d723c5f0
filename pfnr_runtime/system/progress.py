"""One protocol for reporting the progress of long work.

Long-running code accepts a `Progress` and calls it; commands pass one that draws, programs that embed pfnr pass
their own. Messages worth keeping (a fallback, a choice) go to `logging` instead.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Stages, one after another, each with a number of units that advance."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage, which ends the previous one. total: its units, None if unknown."""

    def advance(self, n: int = 1) -> None:
        """Report `n` more units of the stage as done."""

    def note(self, text: str) -> None:
        """Show a current figure of the stage, such as its running PSNR, in place of the last one."""


class Silent:
    """Shows nothing: the default where no progress is passed."""

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Progress`."""

    def advance(self, n: int = 1) -> None:
        """See `Progress`."""

    def note(self, text: str) -> None:
        """See `Progress`."""


SILENT: Progress = Silent()
