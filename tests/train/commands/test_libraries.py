"""merge, extract, remove and fsck: the same digests in other files, nothing lost, every refusal one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.libraries import made_library, small_config
from helpers.own_sessions import coded_values, with_values
from helpers.running import Outcome, run_here

from pfnr_train.library.appended.reader import AppendedFile
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library

CONFIG = small_config("none", channels=2, lower_width=2, stem_width=2, embed_levels=2)
STEM = ("stem.0.weight",)


def named(library: Library, start: str) -> Library:
    sessions = []
    for k, s in enumerate(library.sessions):
        video = replace(s.record.video, name=f"{start}{k}")
        sessions.append(replace(s, record=replace(s.record, video=video)))
    return replace(library, sessions=tuple(sessions))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.pfnr: a0, a1 from a0, a2. far/b.pfnr: b0, b1."""
    monkeypatch.chdir(tmp_path)
    a = with_values(Library(CONFIG, {}), coded_values(CONFIG, 1))
    a = with_values(with_values(a, coded_values(CONFIG, 2, 0, STEM)), coded_values(CONFIG, 3))
    b = with_values(with_values(Library(CONFIG, {}), coded_values(CONFIG, 4)), coded_values(CONFIG, 5))
    write_library(named(a, "a"), tmp_path / "a.pfnr")
    (tmp_path / "far").mkdir()
    write_library(named(b, "b"), tmp_path / "far/b.pfnr")
    return tmp_path


def digests(path: Path | str) -> dict[str, str]:
    """Of every session by name, each computed anew."""
    library = read_library(Path(path))
    library.check_digests()
    return {s.record.video.name: s.record.weights_sha256 for s in library.summaries()}


def train(*arguments: object) -> Outcome:
    return run_here("pfnr-train", *arguments)


def test_merged_libraries_keep_digests_parents_and_the_way_to_their_clips(folder: Path) -> None:
    before = digests("far/b.pfnr") | digests("a.pfnr")
    done = train("merge", "far/b.pfnr", "a.pfnr", "-o", "c.pfnr", "--json")
    assert done.json == {"library": "c.pfnr", "sessions": 5, "bytes": Path("c.pfnr").stat().st_size}
    assert digests("c.pfnr") == before
    assert list(digests("c.pfnr")) == ["b0", "b1", "a0", "a1", "a2"]
    c = read_library(Path("c.pfnr"))
    assert [s.parent for s in c.summaries()] == [None, None, None, 2, None]
    assert [s.record.source_path for s in c.sessions[1:3]] == ["far/clips/1.mkv", "clips/0.mkv"]
    assert sorted(p.name for p in folder.iterdir()) == ["a.pfnr", "c.pfnr", "c.pfnr.lock", "far"]


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(folder: Path) -> None:
    write_library(with_values(Library(small_config(), {}), coded_values(small_config(), 0)), Path("other.pfnr"))
    write_library(made_library(CONFIG, 1), Path("shared.pfnr"))
    write_library(Library(CONFIG, {}, read_library(Path("a.pfnr")).sessions[:1]), Path("again.pfnr"))
    for others, says in (
        (["other.pfnr"], "other.pfnr has another network than a.pfnr"),
        (["shared.pfnr"], "shared.pfnr has sessions that share values"),
        (["again.pfnr"], "a.pfnr and again.pfnr both have a session called 'a0'; leave one of them out"),
        (["none.pfnr"], "none.pfnr does not exist"),
    ):
        done = train("merge", "a.pfnr", *others, "-o", "c.pfnr")
        assert (done.code, says in done.error) == (1, True), done.stderr
        assert not Path("c.pfnr").exists()
        assert not Path("c.pfnr.lock").exists()
    assert train("merge", "a.pfnr", "-o", "c.pfnr").code == 2
    taken = train("merge", "a.pfnr", "far/b.pfnr", "-o", "a.pfnr")
    assert (taken.code, taken.error) == (1, "a.pfnr exists; choose another name for the new library")


def test_extracted_sessions_keep_their_digests(folder: Path) -> None:
    before = digests("a.pfnr")
    assert train("extract", "-l", "a.pfnr", "a2", "-o", "one.pfnr").code == 0
    assert digests("one.pfnr") == {"a2": before["a2"]}
    assert train("extract", "-l", "a.pfnr", "1", "a0", "-o", "two.pfnr").code == 0
    assert digests("two.pfnr") == {"a0": before["a0"], "a1": before["a1"]}
    done = train("extract", "-l", "a.pfnr", "a1", "-o", "child.pfnr")
    assert "a.pfnr: session 1 (a1) is stored as differences from session 0; take that one too" in done.error
    assert "session 'a9' does not exist" in train("extract", "-l", "a.pfnr", "a9", "-o", "x.pfnr").error


def test_sessions_that_share_values_are_extracted_with_them(folder: Path) -> None:
    write_library(made_library(CONFIG, 3), Path("shared.pfnr"))
    before = digests("shared.pfnr")
    assert train("extract", "-l", "shared.pfnr", "2", "0", "-o", "some.pfnr").code == 0
    assert digests("some.pfnr") == {"video-0": before["video-0"], "video-2": before["video-2"]}


def test_a_session_is_removed_unless_another_needs_it(folder: Path) -> None:
    before, bytes_before = digests("a.pfnr"), Path("a.pfnr").read_bytes()
    done = train("remove", "-l", "a.pfnr", "a0")
    assert (done.code, done.error) == (
        1,
        "a.pfnr: stored as differences from what is to go: 1 (a1); remove these as well",
    )
    Path("a.pfnr.3.training").write_bytes(b"x")
    assert "a.pfnr.3.training holds a training" in train("remove", "-l", "a.pfnr", "a2").error
    Path("a.pfnr.3.training").unlink()
    assert Path("a.pfnr").read_bytes() == bytes_before
    assert train("remove", "-l", "a.pfnr", "a2", "--json").json["removed"] == ["a2"]
    assert digests("a.pfnr") == {"a0": before["a0"], "a1": before["a1"]}
    assert train("remove", "-l", "a.pfnr", "a1", "a0").code == 0
    assert digests("a.pfnr") == {}


def test_a_whole_library_passes_fsck(folder: Path) -> None:
    write_library(made_library(CONFIG, 2), Path("shared.pfnr"))
    for path, count in (("a.pfnr", 3), ("shared.pfnr", 2)):
        done = train("fsck", "-l", path)
        assert (done.code, done.stdout) == (0, f"{path}: {count} of {count} sessions are whole, no problems\n")


def damage(path: Path, place: int, data: bytes = b"\xff") -> None:
    whole = bytearray(path.read_bytes())
    whole[place : place + len(data)] = bytes(b ^ f for b, f in zip(whole[place:], data, strict=False))
    path.write_bytes(whole)


@pytest.mark.parametrize("where", ["entry", "place", "nodes", "tail"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_fsck_saves_what_a_damage_left(where: str, number: int, folder: Path) -> None:
    before, path = digests("a.pfnr"), Path("a.pfnr")
    footer = AppendedFile.open(path).footers()[::-1][number]
    if where == "tail":
        path.write_bytes(path.read_bytes()[: footer.place + 5])
        lost = {f"a{k}" for k in range(number, 3)}
    else:
        place = footer.nodes[0] + 3 if where == "nodes" else getattr(footer, where) + 9
        damage(path, place)
        lost = set() if where == "nodes" else {0: {"a0", "a1"}, 1: {"a1"}, 2: {"a2"}}[number]
    damaged = path.read_bytes()
    done = train("fsck", "-l", "a.pfnr", "--save", "saved.pfnr", "--json")
    if lost == set(before):
        assert done.code == 1
        assert not Path("saved.pfnr").exists()
        return
    assert done.code == 3, done.stderr
    assert done.json["problems"]
    assert digests("saved.pfnr") == {name: digest for name, digest in before.items() if name not in lost}
    assert path.read_bytes() == damaged


def test_fsck_of_what_is_no_library_is_one_line(folder: Path) -> None:
    for content in (b"", b"some words", Path("a.pfnr").read_bytes()[:100]):
        Path("x.pfnr").write_bytes(content)
        done = train("fsck", "-l", "x.pfnr")
        assert done.code == 1
        assert "x.pfnr" in done.error
    assert "does not exist" in train("fsck", "-l", "none.pfnr").error
