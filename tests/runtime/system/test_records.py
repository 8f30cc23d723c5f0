"""A file with a record, put into a package's folder, is found; nothing else has to name it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pfnr_export.checks
import pfnr_export.lowerings
import pfnr_export.precisions
import pfnr_runtime.backends
import pfnr_runtime.sinks
from pfnr_runtime.system.records import find_records

ROOMS = (
    (pfnr_runtime.sinks, "SINK"),
    (pfnr_runtime.backends, "BACKEND"),
    (pfnr_export.lowerings, "LOWERING"),
    (pfnr_export.precisions, "PRECISION"),
    (pfnr_export.checks, "CHECK"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose modules belong to every room for the length of a test."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(("room", "attribute"), ROOMS)
def test_a_new_file_is_found(room, attribute: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = find_records(room.__name__, room.__path__, attribute)
    assert known
    (folder / "added_by_a_test.py").write_text(f"{attribute} = 'added'\n")
    (folder / "helper_of_a_test.py").write_text("OTHER = 1\n")
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
    assert find_records(room.__name__, room.__path__, attribute) == [*known, "added"]
    monkeypatch.delattr(room, "added_by_a_test")
    monkeypatch.delattr(room, "helper_of_a_test")
