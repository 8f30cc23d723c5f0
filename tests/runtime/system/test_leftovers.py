"""What dead writers leave is removed; what living ones write, and whatever else lies there, is not."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

import pytest

from pfnr_runtime.system.leftovers import hidden_file, remove_leftovers
from pfnr_runtime.system.part_file import PartFile, write_atomically


def leave(path: Path, suffix: str = ".part") -> Path:
    """A hidden file of `path` whose writer is dead."""
    fd, file = hidden_file(path, suffix)
    os.close(fd)
    return file


def test_leftovers_of_this_name_alone_are_removed(tmp_path: Path) -> None:
    ours, other = tmp_path / "a.bin", tmp_path / "a.bin.old"
    for suffix in (".part", ".reserve"):
        leave(ours, suffix)
    kept = leave(other)
    remove_leftovers(ours)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_living_writers_file_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    first = PartFile(path, reserve=1)
    first.write(b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    first.commit()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_a_name_removes_what_its_dead_writers_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    leave(path)
    leave(path, ".reserve")
    write_atomically(path, b"")
    assert list(tmp_path.iterdir()) == [path]


def test_numbered_files_are_swept_together(tmp_path: Path) -> None:
    for name in ("00001.png", "00002.png"):
        leave(tmp_path / name)
    kept = leave(tmp_path / "cover.png")
    remove_leftovers(tmp_path / "%05d.png", numbered=re.compile("%05d"))
    assert list(tmp_path.iterdir()) == [kept]


def test_links_and_files_like_leftovers_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / ".a.bin.abcdefgh.part").symlink_to(target)
    (tmp_path / ".a.bin.short.part").touch()
    os.mkfifo(tmp_path / ".a.bin.12345678.part")
    remove_leftovers(tmp_path / "a.bin")
    assert target.read_text() == "kept"
    assert (tmp_path / ".a.bin.short.part").exists()


def test_where_there_are_no_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    kept = leave(tmp_path / "a.bin")
    write_atomically(tmp_path / "a.bin", b"data")
    assert kept.exists()
