"""How long work reports where it stands: one protocol, whoever shows it.

Code that takes long accepts a `Progress` and calls it; a command passes one that draws, a program that embeds
pfnr its own. Messages that are worth keeping (a fallback, a choice that was made) go to `logging` instead.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Stages, one after another, each a number of units that advance."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage, which ends the one before. total: its units, None where nobody knows."""

    def advance(self, n: int = 1) -> None:
        """`n` more units of the stage are done."""

    def note(self, text: str) -> None:
        """A figure of the stage as it stands, such as its running PSNR; it replaces the last one."""


class Silent:
    """Shows nothing: what functions take where no progress is given."""

    def stage(self, name: str, total: int | None = None) -> None:
        """See `Progress`."""

    def advance(self, n: int = 1) -> None:
        """See `Progress`."""

    def note(self, text: str) -> None:
        """See `Progress`."""


SILENT: Progress = Silent()
