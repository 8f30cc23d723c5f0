"""pfnr-export --out-dir and pfnr-verify DIR: every session as a file, the unchanged left alone, all proved."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.canvas_sessions import canvas_tensors
from helpers.libraries import small_config
from helpers.own_sessions import with_values
from helpers.running import Outcome, run_here

from pfnr_runtime.artifact.open import open_artifact
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values import CodedValues
from pfnr_train.model.canvas import CanvasConfig

CONFIG = small_config(
    "none",
    strides=(2, 2, 1),
    stem_width=1,
    bias=True,
    output="hard_sigmoid",
    canvas=CanvasConfig(4, (6, 4, 4), (1, 3, 3), 2, 1, 2, 2, (3, 5)),
)


def three_sessions() -> Library:
    """Small canvas sessions called 'a b', 'a/b' and 'A_B'."""
    library = Library(CONFIG, {})
    for k, name in enumerate(("a b", "a/b", "A_B")):
        library = with_values(library, CodedValues.of(canvas_tensors(CONFIG, k)), 3)
        library = library.with_last(renamed(library.sessions[k], name))
    return library


def renamed(session: Session, name: str) -> Session:
    return replace(session, record=replace(session.record, video=replace(session.record.video, name=name)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders")
    write_library(three_sessions(), folder / "library.pfnr")
    done = run_here("pfnr-export", "-l", folder / "library.pfnr", "--sessions", "all", "--out-dir", folder / "out")
    assert done.code == 0, done.stderr
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a library of three sessions, and of what they were exported to, as the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for file in (exported / "library.pfnr", *(exported / "out").iterdir()):
        (tmp_path / file.relative_to(exported)).write_bytes(file.read_bytes())
    return tmp_path


def export(*arguments: object) -> Outcome:
    return run_here("pfnr-export", "-l", "library.pfnr", "--out-dir", "out", *arguments)


def rows() -> list[dict]:
    return json.loads(Path("out/manifest.json").read_text())["sessions"]


def test_every_session_becomes_a_file_and_a_line_of_the_manifest(folder: Path) -> None:
    assert [row["file"] for row in rows()] == ["a_b.pfnv", "a_b-1.pfnv", "A_B-2.pfnv"]
    records = read_library(Path("library.pfnr")).sessions
    for row, session in zip(rows(), records, strict=True):
        path = Path("out") / row["file"]
        assert (row["bytes"], row["precision"]) == (path.stat().st_size, "exact")
        assert row["weights_sha256"] == session.record.weights_sha256
        alone = run_here("pfnr-export", "-l", "library.pfnr", "-s", row["session"], "-o", "alone.pfnv")
        assert alone.code == 0, alone.stderr
        assert Path("alone.pfnv").read_bytes() == path.read_bytes()


def test_what_is_there_and_unchanged_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in Path("out").glob("*.pfnv")}
    done = export("--sessions", "all", "--json").json
    assert (done["sessions"], done["new"], done["failed"]) == (3, [], {})
    assert {path.name: path.stat().st_mtime_ns for path in Path("out").glob("*.pfnv")} == times
    Path("out/a_b.pfnv").write_bytes(b"damaged")
    assert export("--sessions", "all", "--json").json["new"] == [0]


def test_a_file_is_made_again_when_anything_it_holds_has_changed(folder: Path) -> None:
    library, path = read_library(Path("library.pfnr")), Path("library.pfnr")
    sessions = [renamed(session, f"clip-{k}") for k, session in enumerate(library.sessions)]
    write_library(replace(library, sessions=tuple(sessions)), path)
    assert export("--sessions", "all", "--json").json["new"] == [0, 1, 2]
    write_library(replace(library, sessions=tuple(sessions[1:])), path)  # the others move up, and keep their names
    assert export("--sessions", "all", "--json").json["new"] == [0, 1]
    assert [(row["session"], row["file"]) for row in rows()] == [(0, "clip-1.pfnv"), (1, "clip-2.pfnv")]
    assert [open_artifact(Path("out") / row["file"]).contract.session for row in rows()] == [0, 1]
    assert run_here("pfnr-verify", "out", "-l", "library.pfnr").code == 0
    record = sessions[1].record
    for changed in (replace(record, psnr=33.0), replace(record, video=replace(record.video, fps=Fraction(50)))):
        write_library(replace(library, sessions=(replace(sessions[1], record=changed), sessions[2])), path)
        assert export("--sessions", "all", "--json").json["new"] == [0]
        contract = open_artifact(Path("out/clip-1.pfnv")).contract
        assert (contract.quality["psnr"], contract.video.fps) == (changed.psnr, changed.video.fps)


def test_sessions_that_are_not_asked_for_stay_in_the_manifest(folder: Path) -> None:
    before = rows()
    assert export("--sessions", "0", "--json").json == {
        "manifest": "out/manifest.json",
        "sessions": 3,
        "new": [],
        "failed": {},
        "bytes": sum(row["bytes"] for row in before),
    }
    assert rows() == before
    Path("out/a_b-1.pfnv").write_bytes(b"damaged")
    Path("out/A_B-2.pfnv").unlink()
    assert export("--sessions", "0").code == 0
    assert rows() == before[:2]
    assert list(run_here("pfnr-verify", "out", "--json").json["problems"]) == ["a_b-1.pfnv"]


def test_no_two_sessions_have_the_same_file(folder: Path) -> None:
    for titles, expected in (
        (("a_b-2", "a_b", "a b"), ["a_b-2.pfnv", "a_b.pfnv", "a_b-3.pfnv"]),
        (("a b", "A_b", "a_B-1"), ["a_b.pfnv", "A_b-1.pfnv", "a_B-1-2.pfnv"]),
    ):
        library = three_sessions()
        sessions = [renamed(session, title) for session, title in zip(library.sessions, titles, strict=True)]
        write_library(replace(library, sessions=tuple(sessions)), Path("library.pfnr"))
        assert export("--sessions", "all").code == 0
        assert [row["file"] for row in rows()] == expected
        assert run_here("pfnr-verify", "out").code == 0


def test_the_library_is_found_from_the_folder_wherever_one_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export("--sessions", "0", "--precision", "fp32").code == 0
    assert json.loads(Path("out/manifest.json").read_text())["library"] == "../library.pfnr"
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert run_here("pfnr-verify", "../out").code == 0
    (folder / "library.pfnr").rename("library.pfnr")
    bad = run_here("pfnr-verify", "../out", "--json")
    assert list(bad.json["problems"]) == ["a_b.pfnv"]
    assert "name its library with `library`" in bad.json["problems"]["a_b.pfnv"]


def test_files_that_prove_themselves_need_no_library(folder: Path) -> None:
    assert export("--sessions", "0", "--precision", "exact-int8", "--psnr-budget", 20).code == 0
    assert [row["precision"] for row in rows()] == ["exact-int8", "exact", "exact"]
    Path("library.pfnr").write_bytes(b"damaged")
    done = run_here("pfnr-verify", "out")
    assert (done.code, done.stderr) == (0, "")


def test_a_session_that_fails_leaves_the_others(folder: Path) -> None:
    data, library = bytearray(Path("library.pfnr").read_bytes()), read_library(Path("library.pfnr"))
    footer = library.sessions.file.footer(1)  # type: ignore[attr-defined]
    data[footer.entry + footer.size - 1] ^= 1
    Path("library.pfnr").write_bytes(data)
    for path in Path("out").iterdir():
        path.unlink()
    done = export("--sessions", "all")
    assert done.code == 1
    assert "1 of 3 sessions failed (session 1: " in done.stderr
    assert [row["session"] for row in rows()] == [0, 2]


def test_a_folder_is_verified_file_by_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_here("pfnr-verify", "out", "--jobs", 2)
    assert (done.code, done.stdout) == (0, "out/manifest.json: 3 of 3 files are what was exported\n")
    against = run_here("pfnr-verify", "out", "-l", "library.pfnr", "--json")
    assert (against.code, against.json["passed"]) == (0, True)
    data = bytearray(Path("out/a_b.pfnv").read_bytes())
    data[-1] ^= 1
    Path("out/a_b.pfnv").write_bytes(data)
    Path("out/A_B-2.pfnv").unlink()
    bad = run_here("pfnr-verify", "out", "--json")
    assert bad.code == 3
    assert bad.json["problems"] == {
        "a_b.pfnv": "its bytes are not those that were exported; export the session again",
        "A_B-2.pfnv": "it is missing; export the session again",
    }


def test_a_manifest_that_lies_is_refused(folder: Path) -> None:
    text = Path("out/manifest.json").read_text()
    for change in (
        ('"a_b.pfnv"', '"../a_b.pfnv"'),
        ('"format_version": 1', '"format_version": 2'),
        ('"bytes"', '"size"'),
        ('"A_B-2.pfnv"', '"a_b.pfnv"'),
        (text, "[]"),
        (text, "{"),
    ):
        Path("out/manifest.json").write_text(text.replace(*change))
        for done in (run_here("pfnr-verify", "out"), export("--sessions", "all")):
            assert done.code == 1
            assert "out/manifest.json is not a manifest (" in done.error
    Path("out/manifest.json").unlink()
    assert "out has no manifest.json; write one with pfnr-export" in run_here("pfnr-verify", "out").error


def test_options_that_contradict_one_another(folder: Path) -> None:
    for arguments in (
        ("-s", 0),
        ("-o", "x.onnx"),
        ("--shared",),
        ("--golden",),
        ("--suffix", ".mp4"),
        ("--jobs", 0),
    ):
        assert export("--sessions", "all", *arguments).code == 2
    assert run_here("pfnr-export", "-s", 0, "-o", "v.pfnv", "--jobs", 2).code == 2
    assert run_here("pfnr-verify", "out", "--exact").code == 2
    assert run_here("pfnr-verify", "out/a_b.pfnv", "--jobs", 2).code == 2


def test_an_interrupted_export_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in Path("out").iterdir():
        path.unlink()
    assert export("--sessions", "0").code == 0
    assert export("--sessions", "all", "--json").json["new"] == [1, 2]


def test_a_folder_that_cannot_be_made_is_one_line(folder: Path) -> None:
    Path("file").write_text("")
    done = run_here("pfnr-export", "-l", "library.pfnr", "--sessions", "all", "--out-dir", "file/out")
    assert done.code == 1
    assert "file" in done.error
