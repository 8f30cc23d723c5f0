"""Format 3: sessions appended to one file, each read, found and added alone, whole whatever ends the writer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.libraries import made_library, made_record, small_config
from helpers.own_sessions import coded_values, with_values

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.appended import reader
from pfnr_train.library.appended.footer import FOOTER_SIZE, Footer
from pfnr_train.library.appended.reader import AppendedFile, pread
from pfnr_train.library.file import library_bytes, read_library, write_library
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values import CodedValues
from train.library.second_reader import SecondReader

CONFIG = small_config("none", channels=2, lower_width=2, stem_width=2, embed_levels=2)
VALUES = coded_values(CONFIG, 0)


def grown(library: Library, name: str | None = None) -> Library:
    """One more session, whose digest nobody computed."""
    record = made_record(CONFIG, len(library.sessions))
    record = replace(record, video=replace(record.video, name=name or record.video.name))
    return library.with_session({}, Session(record, VALUES))


def library_of(count: int, path: Path) -> Path:
    library = Library(CONFIG, {})
    for _ in range(count):
        library = grown(library)
    write_library(library, path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return library_of(40, tmp_path / "library.pfnr")


def test_every_session_is_found_by_number_and_by_name(path: Path) -> None:
    library = read_library(path)
    assert len(library.sessions) == 40
    for k in range(40):
        assert library.sessions[k].record.video.name == f"video-{k}"
        assert library.find(f"video-{k}") == library.find(k) == k
    assert library.number_of("video-40") is None
    assert [s.record.video.name for s in library.summaries()] == [f"video-{k}" for k in range(40)]
    assert [s.record.video.name for s in library.sessions[-2:]] == ["video-38", "video-39"]
    with pytest.raises(LibraryError, match=r"19 \(video-19\) and 20 more$"):
        library.find("none")


def test_the_same_bytes_however_a_library_was_written(path: Path, tmp_path: Path) -> None:
    one_by_one = library_of(0, tmp_path / "one.pfnr")
    for _ in range(40):
        write_library(grown(read_library(one_by_one)), one_by_one)
    assert one_by_one.read_bytes() == path.read_bytes()
    assert library_bytes(read_library(path)) == path.read_bytes()


def test_adding_leaves_every_byte_that_is_there_and_reads_few(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = path.read_bytes(), []

    def counted(fd: int, offset: int, size: int) -> bytes:
        read.append(pread(fd, offset, size))
        return read[-1]

    monkeypatch.setattr(reader, "pread", counted)
    write_library(grown(read_library(path), "new"), path)
    monkeypatch.undo()
    assert path.read_bytes().startswith(before)
    assert sum(map(len, read)) < len(before) / 2
    assert SecondReader(path).sessions[-1]["video"]["name"] == "new"


def test_the_tree_finds_three_hundred_names_however_alike(tmp_path: Path) -> None:
    names = [f"clip {k % 7}{'x' * (k // 7)}"[:190] + f".{k}" for k in range(300)]
    library = Library(CONFIG, {})
    for name in names:
        library = grown(library, name)
    write_library(library, tmp_path / "l.pfnr")
    again = read_library(tmp_path / "l.pfnr")
    assert [again.find(name) for name in names] == list(range(300))
    assert again.number_of("clip 0") is None


def test_a_writer_cut_off_at_any_byte_leaves_the_old_library_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path = library_of(3, tmp_path / "l.pfnr")
    old = path.read_bytes()
    write_library(grown(read_library(path)), path)
    new = path.read_bytes()
    places = [*range(len(old), len(new), 97), *range(len(new) - 130, len(new))]
    for place in places:
        path.write_bytes(new[:place])
        library = read_library(path)
        assert len(library.sessions) == 3, place
        write_library(grown(library), path)
        assert path.read_bytes() == new
        # A file system may have given the file its length before its data.
        path.write_bytes(new[: min(place, len(new) - 8)].ljust(len(new), b"\0"))
        assert len(read_library(path).sessions) == 3, place


def test_a_disk_that_fills_up_leaves_the_old_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    library = grown(read_library(path))

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space") as caught:
        write_library(library, path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before


def footers(path: Path) -> Iterator[Footer]:
    return iter(AppendedFile.open(path).footers())


def test_a_damaged_end_is_not_mistaken_for_a_cut_off_write(path: Path) -> None:
    whole = path.read_bytes()
    last = next(footers(path))
    for place in (last.place, last.place + 9, last.place + 50, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(LibraryError, match=r"its last \d+ bytes are no session; restore it from"):
            read_library(path)


def test_a_damaged_session_is_named_and_the_others_are_read(path: Path) -> None:
    whole, found = path.read_bytes(), list(footers(path))[::-1]
    for inside in (0, 8, 60, found[7].size // 2, found[7].size - 1):
        damaged = bytearray(whole)
        damaged[found[7].entry + inside] ^= 4
        path.write_bytes(damaged)
        library = read_library(path)
        with pytest.raises(LibraryError, match=r"session 7 does not have the bytes that were written"):
            library.sessions[7]
        assert library.sessions[8].record.video.name == "video-8"


def test_any_flipped_byte_of_footers_and_nodes_ends_in_a_library_error_or_in_the_right_session(path: Path) -> None:
    whole, found = path.read_bytes(), list(footers(path))[::-1]
    places = [p for f in (found[5], found[38]) for p in range(f.nodes[0], f.end, 29)]
    places += list(range(found[39].nodes[0], found[39].place, 29))
    caught = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        library = read_library(path)
        for k in (0, 5, 20, 38):
            try:
                assert library.sessions[k].record.video.name == f"video-{k}"
                assert library.number_of(f"video-{k}") in (k, None)
                library.summaries()
            except LibraryError:
                caught += 1
    assert caught


def test_entries_that_lie_are_refused(tmp_path: Path) -> None:
    other = made_record(small_config("none", strides=(2, 4)), 0)
    library = Library(CONFIG, {}).with_session({}, Session(other, VALUES))
    write_library(library, tmp_path / "l.pfnr")
    with pytest.raises(LibraryError, match="is not of the network's size"):
        read_library(tmp_path / "l.pfnr").sessions[0]
    orphan = CodedValues(VALUES.data, 5, ("stem.0.weight",))
    write_library(Library(CONFIG, {}, (Session(made_record(CONFIG, 0), orphan),)), tmp_path / "l.pfnr")
    with pytest.raises(LibraryError, match="its parent 5 is not an earlier session"):
        read_library(tmp_path / "l.pfnr").session_weights(0)


def test_a_library_of_format_2_becomes_one_of_format_3_when_a_session_is_added(tmp_path: Path) -> None:
    path = tmp_path / "l.pfnr"
    mixed = with_values(made_library(CONFIG, 1), coded_values(CONFIG, 1))
    write_library(mixed, path)
    assert SecondReader(path).version == 2
    write_library(with_values(read_library(path), coded_values(CONFIG, 2)), path)
    assert SecondReader(path).version == 2  # a session shares values
    own = Library(CONFIG, {}, tuple(mixed.sessions[1:]))
    write_library(own, path)
    assert SecondReader(path).version == 3
    assert read_library(path).session_weights(0).time_table.shape[0] == 4


def test_what_was_read_stays_as_it_was_while_others_add(path: Path) -> None:
    before = read_library(path)
    write_library(grown(read_library(path)), path)
    assert len(before.sessions) == 40
    assert before.sessions[39].record.video.name == "video-39"
    write_library(grown(before, "other"), path)  # not at the end of what is there now: written whole
    assert [s.record.video.name for s in read_library(path).summaries()][39:] == ["video-39", "other"]
    assert path.stat().st_size > FOOTER_SIZE
