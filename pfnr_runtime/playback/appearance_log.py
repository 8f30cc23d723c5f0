"""The log behind --frametimes: one line of CSV per frame shown, for diagnosing stutter."""

from __future__ import annotations

from pathlib import Path

from pfnr_runtime.playback.statistics import Appearance
from pfnr_runtime.sinks.output_file import open_file

COLUMNS = "shown_s,session,frame,skipped,dropped,decode_ms,late_ms"


class AppearanceLog:
    """Writes `COLUMNS`, then one line per frame; the file appears when it is closed.

    shown_s: seconds since the first frame. skipped, dropped: frames lost just before this one. late_ms: after the
    time it was due; 0 where no time was set: for the first frame, after a seek, while paused.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_file(path)
        self._start: float | None = None
        self._write(COLUMNS)

    def add(self, frame: Appearance) -> None:
        """Log a frame that appeared."""
        if self._start is None:
            self._start = frame.time
        self._write(
            f"{frame.time - self._start:.6f},{frame.session},{frame.frame},{frame.skipped},{frame.dropped},"
            f"{1000 * frame.decode:.3f},{1000 * frame.lateness:.3f}"
        )

    def close(self) -> None:
        """Give the file its name; also after an interrupt, since every line is complete."""
        self._file.commit(durable=False)

    def discard(self) -> None:
        """Leave no file."""
        self._file.discard()

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n".encode())
