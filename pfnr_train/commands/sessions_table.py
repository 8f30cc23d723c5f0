"""All sessions of a parallel run in one live table on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pfnr_train.sequence.parallel import JOINED, WAITING, Row

MOST_ROWS = 30


class SessionsTable:
    """A context manager whose `show` draws the table; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None

    def __enter__(self) -> SessionsTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, rows: list[Row]) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._live.update(sessions_table(rows))


def sessions_table(rows: list[Row]) -> Table:
    """The sessions at work, failed or done but not joined; the others as numbers."""
    counts = {state: sum(row.state == state for row in rows) for state in (JOINED, WAITING)}
    table = Table("session", "name", "state", "steps", "PSNR")
    shown = [row for row in rows if row.state not in counts][:MOST_ROWS]
    for row in shown:
        steps = f"{row.step} of {row.steps}" if row.steps else ""
        psnr = "" if row.psnr is None else f"{row.psnr:.2f} dB"
        table.add_row(str(row.number), row.name, row.state, steps, psnr)
    table.caption = f"{counts[JOINED]} of {len(rows)} in the library, {counts[WAITING]} waiting"
    return table
