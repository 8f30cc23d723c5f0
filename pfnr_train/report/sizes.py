"""Real bytes: of a library's file after each session, by what they are, and of exported artifacts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pfnr_train.library.file import library_bytes
from pfnr_train.library.library import Library, Session


@dataclass(frozen=True)
class LibrarySize:
    """Bytes of a library's file. header: names, records and the format's own; tables: of imported sessions."""

    weights: int
    masks: int
    heads: int
    tables: int
    header: int

    @property
    def total(self) -> int:
        """Bytes of the whole file."""
        return self.weights + self.masks + self.heads + self.tables + self.header


def session_bytes(session: Session) -> tuple[int, int, int]:
    """Bytes of a session's masks, head and time table in the library's file."""
    masks = sum(bits.nbytes for bits in session.masks.values())
    head = sum(w.nbytes for w in session.head.values())
    return masks, head, 0 if session.time_table is None else session.time_table.nbytes


def library_size(library: Library) -> LibrarySize:
    """What a library's file weighs."""
    parts = [session_bytes(session) for session in library.sessions]
    masks, heads, tables = (sum(part[k] for part in parts) for k in range(3))
    weights = sum(w.nbytes for w in library.weights.values())
    total = len(library_bytes(library))
    return LibrarySize(weights, masks, heads, tables, total - weights - masks - heads - tables)


def artifact_bytes(library: Path, sessions: int, say: Callable[[str], None]) -> list[int] | str:
    """Bytes of each session's artifact, exported to a folder that goes away; or why it cannot be exported.

    The exporter is another program: the trainer does not import it.
    """
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(sessions):
            say(f"exporting session {index} of {sessions}")
            target = Path(folder) / f"{index}.onnx"
            arguments = ["--library", str(library.resolve()), "--session", str(index), "-o", str(target)]
            done = subprocess.run(
                [sys.executable, "-m", "pfnr_export", *arguments], capture_output=True, text=True, check=False
            )
            if done.returncode or not target.exists():
                lines = done.stderr.strip().splitlines() or [f"pfnr-export ended with code {done.returncode}"]
                return lines[-1].removeprefix("error: ")
            sizes.append(target.stat().st_size)
    return sizes
