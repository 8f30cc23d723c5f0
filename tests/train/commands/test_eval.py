"""pfnr-train eval: what it prints comes from decoding again, against sources that are really the right ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.clips import write_lossless
from helpers.running import FRAMES, run_here
from helpers.synthetic import moving_pattern

from pfnr_runtime.video.metrics import psnr
from pfnr_train.library.file import read_library, write_library
from pfnr_train.model.decode import decode_all


def evaluate(*arguments: object) -> dict:
    done = run_here("pfnr-train", "eval", "--threads", 1, "--json", *arguments)
    assert done.code == 0, done.stderr
    return done.json


def true_psnr(k: int) -> float:
    decoded = decode_all(read_library(Path("library.pfnr")).session_weights(k))
    source = moving_pattern(FRAMES, 80, 48, k)
    return float(np.mean([psnr(a, b) for a, b in zip(decoded, source, strict=True)]))


def test_figures_come_from_decoding_and_not_from_memory(folder: Path) -> None:
    path = Path("library.pfnr")
    library = read_library(path)
    sessions = [
        replace(s, record=replace(s.record, psnr=99.0, ms_ssim=0.99 if k else None))
        for k, s in enumerate(library.sessions)
    ]
    write_library(replace(library, sessions=tuple(sessions)), path)
    report = evaluate()
    for k, row in enumerate(report["sessions"]):
        assert row["psnr"] == pytest.approx(true_psnr(k), abs=1e-9)
        assert row["psnr_when_trained"] == 99.0
        assert row["change"] == pytest.approx(row["psnr"] - 99)
        assert row["ms_ssim"] is None  # frames of 80x48 are too small for five scales
    assert report["mean_psnr"] == pytest.approx(np.mean([true_psnr(k) for k in range(6)]))
    # Over the sessions that had a later one.
    assert report["backward_transfer"] == pytest.approx(np.mean([true_psnr(k) - 99 for k in range(5)]))


def test_sources_are_found_from_the_librarys_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert all(row["psnr"] for row in evaluate("-l", os.path.relpath(folder / "library.pfnr"))["sessions"])
    moved = folder.rename(tmp_path / "moved")
    assert all(row["psnr"] for row in evaluate("-l", moved / "library.pfnr")["sessions"])


def test_a_missing_source_is_named_and_the_others_are_still_compared(folder: Path) -> None:
    Path("clip2.mkv").unlink()
    done = run_here("pfnr-train", "eval", "--threads", 1, "--json")
    assert done.code == 0
    assert done.stderr.startswith("session 2 (clip2) not compared: ")
    assert "clip2.mkv: no such file" in done.stderr
    rows = done.json["sessions"]
    assert [row["psnr"] is None for row in rows] == [k == 2 for k in range(6)]
    assert "clip2.mkv" in rows[2]["problem"]


@pytest.mark.parametrize("session", ["2", "clip2"])
def test_a_source_that_moved_can_be_named(session: str, folder: Path) -> None:
    Path("clip2.mkv").rename("moved.mkv")
    row = evaluate("--clip", f"{session}=moved.mkv")["sessions"][2]
    assert row["psnr"] == pytest.approx(true_psnr(2), abs=1e-9)


def test_a_wrong_clip_is_refused(folder: Path) -> None:
    done = run_here("pfnr-train", "eval", "--threads", 1, "--json", "--clip", "2=clip3.mkv")
    assert done.json["sessions"][2]["psnr"] is None
    assert "clip3.mkv: frames 0:5 are not those that 'clip2' was trained on" in done.stderr
    # A clip that changed under its name is as wrong.
    write_lossless(folder / "clip4.mkv", moving_pattern(FRAMES, 80, 48, 99))
    assert evaluate()["sessions"][4]["psnr"] is None


def test_nothing_to_compare_at_all_is_an_error(folder: Path) -> None:
    for k in range(6):
        Path(f"clip{k}.mkv").unlink()
    done = run_here("pfnr-train", "eval", "--threads", 1)
    assert done.code == 1
    assert done.stderr.splitlines()[-1] == (
        "error: no session could be compared; give the clips' locations with --clip SESSION=PATH"
    )


@pytest.mark.parametrize(
    ("override", "code", "says"),
    [
        ("clip2", 2, "--clip 'clip2' is not SESSION=PATH, such as 0=clips/bunny.mp4"),
        ("2=", 2, "is not SESSION=PATH"),
        ("9=clip2.mkv", 1, "session '9' does not exist in this library; it has 0 (clip0)"),
    ],
)
def test_a_malformed_override_is_one_line(override: str, code: int, says: str, folder: Path) -> None:
    done = run_here("pfnr-train", "eval", "--clip", override)
    assert done.code == code
    assert says in done.error


def test_a_damaged_session_is_an_error_and_not_a_figure(folder: Path) -> None:
    library = read_library(Path("library.pfnr"))
    weights = {name: -w for name, w in library.weights.items()}
    write_library(replace(library, weights=weights), Path("library.pfnr"))
    done = run_here("pfnr-train", "eval", "--threads", 1)
    assert done.code == 1
    assert "session 0 (clip0): its weights do not match the digest" in done.error
