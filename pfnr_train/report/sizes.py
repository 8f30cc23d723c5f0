"""Actual sizes: of a library's file after each session, by kind, and of exported artifacts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pfnr_runtime.system.messages import say
from pfnr_train.library.file import library_bytes
from pfnr_train.library.library import Library


@dataclass(frozen=True)
class LibrarySize:
    """Bytes of a library's file.

    - weights: of the pool.
    - values: private to sessions.
    - header: names, records and the format's own;
    - tables: of imported sessions.
    """

    weights: int
    masks: int
    values: int
    heads: int
    tables: int
    header: int

    @property
    def total(self) -> int:
        """Bytes of the whole file."""
        return self.weights + self.masks + self.values + self.heads + self.tables + self.header


def library_size(library: Library) -> LibrarySize:
    """The size of a library's file."""
    parts = [session.values.sizes() for session in library.sessions]
    masks, values, heads, tables = (sum(p[kind] for p in parts) for kind in ("masks", "values", "head", "table"))
    weights = sum(w.nbytes for w in library.weights.values()) if library.shares or not library.sessions else 0
    total = len(library_bytes(library))
    header = total - weights - masks - values - heads - tables
    return LibrarySize(weights, masks, values, heads, tables, header)


def artifact_bytes(library: Path, sessions: int) -> list[int] | str:
    """Bytes of each session's artifact, or why it cannot be exported."""
    sizes = _exported(library, range(sessions), ".onnx")
    return sizes if isinstance(sizes, str) else list(sizes.values())


def packed_bytes(library: Path, sessions: Sequence[int]) -> dict[int, int] | str:
    """Bytes of the packed file of each of these sessions, which have coded values; or why there are none."""
    return _exported(library, sessions, ".pfnv")


def _exported(library: Path, sessions: Sequence[int], suffix: str) -> dict[int, int] | str:
    """Bytes of what these sessions export to, by index, in a folder that goes away; or why they cannot.

    Runs the exporter as a separate program: the trainer does not import it.
    """
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for count, index in enumerate(sessions):
            say(f"exporting session {index} as {suffix} ({count + 1} of {len(sessions)})")
            target = Path(folder) / f"{index}{suffix}"
            arguments = ["--library", str(library.resolve()), "--session", str(index), "-o", str(target)]
            done = subprocess.run(
                [sys.executable, "-m", "pfnr_export", *arguments], capture_output=True, text=True, check=False
            )
            if done.returncode or not target.exists():
                lines = done.stderr.strip().splitlines() or [f"pfnr-export ended with code {done.returncode}"]
                return lines[-1].removeprefix("error: ")
            sizes[index] = target.stat().st_size
    return sizes
