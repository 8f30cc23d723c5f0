"""pfnr-train eval --report: one page that needs nothing else; its figures come from decoding and weighing."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from av.codec.codec import UnknownCodecError
from helpers.own_sessions import CODED, coded_values
from helpers.running import FRAMES, run_here

from pfnr_train.clips import read_clip
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library, Session
from pfnr_train.report import charts
from pfnr_train.report.sizes import artifact_bytes, library_size, packed_bytes
from pfnr_train.run.add_session import measured, new_record

SESSIONS = 3


@pytest.fixture
def library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The first sessions of the library of six, in the current folder; exports are made up."""
    whole = read_library(Path("library.pfnr"))
    part = replace(whole, sessions=whole.sessions[:SESSIONS])
    write_library(part, Path("library.pfnr"))
    monkeypatch.setattr(
        "pfnr_train.report.sizes.artifact_bytes",
        lambda path, sessions: [1000 * (k + 1) for k in range(sessions)],
    )
    return part


def reported(*arguments: object) -> dict:
    done = run_here("pfnr-train", "eval", "--threads", 1, "--report", "out", *arguments)
    assert done.code == 0, done.stderr
    assert "written: out/report.html" in done.stderr
    return json.loads(Path("out/report.json").read_text())


def rows(name: str) -> list[dict[str, str]]:
    with Path("out", name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_says_the_same(library: Library) -> None:
    report = reported()
    sessions = report["sessions"]
    assert [s["name"] for s in sessions] == ["clip0", "clip1", "clip2"]
    for k, session in enumerate(sessions):
        assert session["psnr"] == pytest.approx(np.mean(session["psnr_per_frame"]))
        # Nothing is forgotten, and each stage was decoded for itself.
        assert session["psnr_stages"] == [session["psnr"]] * (SESSIONS - k)
        assert report["matrix"][k] == [None] * k + session["psnr_stages"]
        assert session["artifact_bytes"] == 1000 * (k + 1)
    assert [float(row["psnr"]) for row in rows("sessions.csv")] == [s["psnr"] for s in sessions]
    frames = [float(row["psnr"]) for row in rows("frames.csv")]
    assert frames == [figure for s in sessions for figure in s["psnr_per_frame"]]
    assert [row["after clip1"] for row in rows("matrix.csv")] == [
        str(report["matrix"][k][1] or "") for k in range(3)
    ]
    used = library.used()
    for row in rows("tensors.csv"):
        parts = [float(row[f"used after clip{k}"]) for k in range(SESSIONS)]
        assert parts == sorted(parts)
        if row["tensor"] != "all weights":
            assert parts[-1] == used[row["tensor"]].mean()
    assert report["library_bytes"][-1]["total"] == Path("library.pfnr").stat().st_size


def test_the_page_needs_nothing_but_itself(library: Library) -> None:
    reported()
    page = Path("out/report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) >= 5
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "url(" not in page.split("</style>")[0]
    for name in ("clip0", "clip1", "clip2"):
        assert name in page


def test_a_name_is_shown_and_never_run(library: Library) -> None:
    session = library.sessions[0]
    video = replace(session.record.video, name='<script>alert("$x_1^2$")</script>')
    renamed = replace(session, record=replace(session.record, video=video))
    write_library(replace(library, sessions=(renamed, *library.sessions[1:])), Path("library.pfnr"))
    reported("--no-stages")
    page = Path("out/report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_source_that_is_missing_leaves_gaps(library: Library) -> None:
    Path("clip1.mkv").unlink()
    report = reported()
    assert [s["psnr"] is None for s in report["sessions"]] == [False, True, False]
    assert report["matrix"][1] == [None] * 3
    assert "clip1.mkv" in report["sessions"][1]["problem"]


def test_without_stages_only_the_present_is_decoded(library: Library) -> None:
    report = reported("--no-stages")
    assert all(value is None for row in report["matrix"] for value in row)
    assert "Largest loss" not in Path("out/report.html").read_text()


def test_stages_are_decoded_and_not_copied(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Library.as_of

    def spoilt(self: Library, count: int) -> Library:
        then = honest(self, count)
        return replace(then, weights={name: -w for name, w in then.weights.items()})

    monkeypatch.setattr(Library, "as_of", spoilt)
    done = run_here("pfnr-train", "eval", "--threads", 1, "--report", "out")
    assert done.code == 1
    assert "session 0 (clip0): its weights do not match the digest" in done.error


def test_the_library_as_of_a_session_has_no_weight_of_a_later_one(library: Library) -> None:
    first = library.as_of(1)
    mask = first.used()
    for name, weight in first.weights.items():
        assert np.array_equal(weight[mask[name]], library.weights[name][mask[name]])
        assert not weight[~mask[name]].any()
    assert first.session_weights(0).config == library.config


def test_bytes_are_the_files(library: Library) -> None:
    size = library_size(library)
    assert size.total == Path("library.pfnr").stat().st_size
    assert size.weights == 4 * sum(w.size for w in library.weights.values())
    assert 0 < size.header < 10_000


@pytest.fixture
def coded_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A session with shared values and two coded ones, of the clips in the current folder; exports are made up."""
    whole = read_library(Path("library.pfnr"))
    library = replace(whole, sessions=whole.sessions[:1])
    for k in (1, 2):
        clip = read_clip(Path(f"clip{k}.mkv"))
        session = Session(
            new_record(library, clip, f"clip{k}", f"clip{k}.mkv", CODED), coded_values(library.config, k)
        )
        library, _ = measured(library.with_session(library.weights, session), clip)
    write_library(library, Path("library.pfnr"))
    sizes = "pfnr_train.report.sizes"
    monkeypatch.setattr(f"{sizes}.artifact_bytes", lambda path, sessions: [1000] * sessions)
    monkeypatch.setattr(f"{sizes}.packed_bytes", lambda path, sessions: {k: 3000 + k for k in sessions})
    return library


def test_coded_sessions_are_drawn_beside_codecs_and_their_packed_file_counts(coded_library: Library) -> None:
    report = reported("--no-stages")
    curves = report["codec_rates"]
    codecs = {f"{name} medium {chroma}" for name in ("x264", "x265") for chroma in ("4:2:0", "4:4:4")}
    assert curves.keys() == {"clip1", "clip2"}, "shared sessions have no packed file"
    for k in (1, 2):
        panel, session = curves[f"clip{k}"], report["sessions"][k]
        assert panel.keys() == {"pfnr", *codecs}
        (point,) = panel["pfnr"]
        assert point["size"] == 3000 + k
        assert point["bpp"] == 8 * (3000 + k) / (FRAMES * 80 * 48)
        assert point["psnr"] == pytest.approx(session["psnr"])
        for codec in codecs:
            sizes = [p["size"] for p in panel[codec]]
            assert sizes[0] > sizes[-1]
    assert {row["method"] for row in rows("rates.csv")} == {"pfnr", *codecs}
    assert "Compared with video codecs" in Path("out/report.html").read_text()
    again = reported("--no-stages")
    # x264's own bytes differ by a few from run to run at such sizes; everything of ours is the same.
    theirs = {"codec_rates", "gain_db_at_equal_bytes"}
    assert {k: v for k, v in again.items() if k not in theirs} == {
        k: v for k, v in report.items() if k not in theirs
    }
    assert all(again["codec_rates"][clip]["pfnr"] == curves[clip]["pfnr"] for clip in curves)


def test_codecs_are_left_out_on_request_and_where_nothing_is_coded(
    coded_library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("a codec ran")

    monkeypatch.setattr("pfnr_train.report.codec_rates.codec_curve", never)
    assert reported("--no-stages", "--no-codecs")["codec_rates"] == {}
    assert "Compared with video codecs" not in Path("out/report.html").read_text()
    write_library(replace(coded_library, sessions=coded_library.sessions[:1]), Path("library.pfnr"))
    assert reported("--no-stages")["codec_rates"] == {}
    assert not Path("out/rates.csv").exists()


def test_why_nothing_is_beside_codecs_is_said(coded_library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*arguments: object, **more: object) -> None:
        raise UnknownCodecError(1, "Unknown codec")

    monkeypatch.setattr("pfnr_train.report.codec_rates.codec_curve", lacking)
    done = run_here("pfnr-train", "eval", "--threads", 1, "--report", "out", "--no-stages")
    assert done.code == 0
    assert done.stderr.count("no curve of libx265: this build of PyAV lacks it") == 1
    monkeypatch.setattr("pfnr_train.report.sizes.packed_bytes", lambda path, sessions: "no exporter here")
    done = run_here("pfnr-train", "eval", "--threads", 1, "--report", "out", "--no-stages")
    assert "no comparison with video codecs in the report: no exporter here" in done.stderr


@pytest.mark.slow
def test_artifacts_weigh_what_the_exporter_writes(folder: Path) -> None:
    done = run_here("pfnr-export", "--session", 0, "-o", "0.onnx")
    assert done.code == 0, done.stderr
    assert artifact_bytes(Path("library.pfnr"), 1) == [Path("0.onnx").stat().st_size]
    reason = artifact_bytes(Path("nowhere.pfnr"), 1)
    assert isinstance(reason, str)
    assert "nowhere.pfnr does not exist" in reason


@pytest.mark.slow
def test_packed_files_weigh_what_the_exporter_writes(coded_library: Library) -> None:
    done = run_here("pfnr-export", "--session", 2, "-o", "2.pfnv")
    assert done.code == 0, done.stderr
    assert packed_bytes(Path("library.pfnr"), [2]) == {2: Path("2.pfnv").stat().st_size}
    reason = packed_bytes(Path("library.pfnr"), [2, 7])
    assert isinstance(reason, str)
    assert "session '7' does not exist" in reason


def test_an_empty_library_and_a_missing_package_are_said_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_library(replace(library, sessions=()), Path("empty.pfnr"))
    done = run_here("pfnr-train", "eval", "-l", "empty.pfnr", "--report", "out")
    assert (done.code, "has no sessions to report on" in done.error) == (1, True)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = run_here("pfnr-train", "eval", "--report", "out")
    assert done.code == 4
    assert done.error == "--report needs matplotlib, which is not installed: pip install 'pfnr[report]'"


def test_pictures_have_the_same_bytes_every_time() -> None:
    matrix = np.array([[30.0, 20.0], [np.nan, 31.0]])
    made = [
        (
            charts.heat_maps({"a": matrix, "b": matrix}, ["x", "y"]),
            charts.frame_curves({"x": [30.0, 31.0]}),
            charts.rate_distortion({"file": [("x", 0.5, 30.0)]}),
            charts.library_growth({"weights": [1000, 1000], "masks": [10, 20]}, ["x", "y"]),
            charts.fullness({"w": [0.3, 0.5]}, ["x", "y"]),
            charts.bars({"x": 30.0, "y": -2.0}, "dB"),
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert all(picture.startswith(b"<?xml") for picture in made[0])


def test_a_comparison_has_a_report_too(folder: Path) -> None:
    Path("two.toml").write_text(
        'name = "two"\nsize = "40x24"\n[network]\npreset = "tiny"\n[recipe]\nepochs = 1\n'
        '[[video]]\nname = "clip0"\n[[video]]\nname = "clip1"\n'
    )
    arguments = ("compare", "two.toml", "--data", ".", "--threads", 1, "--methods", "fine-tuning,mtl,wsn")
    done = run_here("pfnr-train", *arguments, "--report", "out", "--json")
    assert done.code == 0, done.stderr
    assert json.loads(Path("out/report.json").read_text()) == done.json
    assert [row["method"] for row in rows("table.csv")] == ["fine-tuning", "mtl", "wsn"]
    page = Path("out/report.html").read_text()
    assert page.count('src="data:image/svg+xml') == 3
