"""Writing a report's files: JSON for programs, CSV for spreadsheets, one HTML page to read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pfnr_runtime.system.part_file import write_atomically

Cell = str | int | float | None


def write_json(path: Path, value: Any) -> None:
    """Plain JSON types, keys sorted, no NaN. Raises OSError."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """A table with a header; None is an empty cell. Raises OSError."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue().encode())


def write_text(path: Path, text: str) -> None:
    """UTF-8. Raises OSError."""
    write_atomically(path, text.encode())
