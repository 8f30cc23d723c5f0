"""From clips to proven artifacts with the commands alone, and mistakes on the way."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.clips import write_lossless
from helpers.running import TRAIN, run_here, run_process
from helpers.synthetic import moving_pattern

from pfnr_runtime import VideoDecoder
from pfnr_train.library.file import lock_library, read_library, write_library
from pfnr_train.model.decode import decode_all


def test_the_command_of_the_readme_in_a_folder_with_a_library(folder: Path) -> None:
    done = run_process("pfnr-export", "--session", "5", "-o", "v5.onnx", cwd=folder)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("session 5 (clip5): 5 frames of 80x48, fp32")
    by_name = run_here("pfnr-export", "--session", "clip5", "-o", "named.onnx")
    assert by_name.code == 0
    assert Path("named.onnx").read_bytes() == Path("v5.onnx").read_bytes()
    verified = run_process("pfnr-verify", "v5.onnx", "--library", "library.pfnr", "--threads", "1", cwd=folder)
    assert (verified.code, verified.stderr) == (0, "")
    assert "the same frames" in verified.stdout
    # The artifact plays what the library holds.
    library = read_library(folder / "library.pfnr")
    with VideoDecoder("v5.onnx") as decoder:
        difference = np.abs(decoder[:].data.astype(int) - decode_all(library.session_weights(5)))
    assert difference.max() <= 1


def test_a_library_elsewhere_is_found_through_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "library.pfnr does not exist" in run_here("pfnr-train", "info").error
    monkeypatch.setenv("PFNR_LIBRARY", str(folder / "library.pfnr"))
    assert run_here("pfnr-train", "info", "--json").json["library"] == str(folder / "library.pfnr")
    assert run_here("pfnr-export", "-s", 0, "-o", "v.onnx").code == 0
    assert run_here("pfnr-verify", "v.onnx").code == 0


def test_results_are_json_where_asked_for(folder: Path) -> None:
    info = run_here("pfnr-train", "info", "--json").json
    assert [s["video"]["name"] for s in info["sessions"]] == [f"clip{k}" for k in range(6)]
    # Six of eight planned sessions at half density: a half, and five sevenths of the other.
    assert all(0.8 < used < 0.95 for used in info["used"].values())
    assert info["bytes"] == Path("library.pfnr").stat().st_size
    evaluated = run_here("pfnr-train", "eval", "--json", "--threads", 1).json
    assert [s["change"] for s in evaluated["sessions"]] == [0.0] * 6
    assert evaluated["backward_transfer"] == 0.0
    exported = run_here("pfnr-export", "-s", 1, "-o", "v.onnx", "--json").json
    assert (exported["session"], exported["name"], exported["bytes"]) == (
        1,
        "clip1",
        Path("v.onnx").stat().st_size,
    )
    added = run_here("pfnr-train", "add", "clip0.mkv", *TRAIN, "--frames", "1:4", "--name", "again", "--json")
    assert added.json["frames"] == 3
    assert (added.json["session"], added.json["name"]) == (6, "again")
    assert read_library(Path("library.pfnr")).sessions[6].record.video.source_start == 1


def test_adding_a_session_changes_no_earlier_artifact(folder: Path) -> None:
    for k in range(6):
        assert run_here("pfnr-export", "-s", k, "-o", f"before{k}.onnx").code == 0
    options = ("--epochs", 2, "--density", 0.9, "--seed", 9, "--threads", 1)
    assert run_here("pfnr-train", "add", "clip3.mkv", *options).code == 0
    assert read_library(Path("library.pfnr")).sessions[6].record.video.name == "clip3-2"
    for k in range(6):
        assert run_here("pfnr-export", "-s", k, "-o", f"after{k}.onnx").code == 0
        assert Path(f"after{k}.onnx").read_bytes() == Path(f"before{k}.onnx").read_bytes()


def test_progress_and_what_was_done_to_the_clip_go_to_stderr(folder: Path) -> None:
    write_lossless(folder / "wide.mkv", moving_pattern(3, 80, 36))
    done = run_here("pfnr-train", "add", "wide.mkv", *TRAIN)
    lines = done.stderr.splitlines()
    assert lines[0] == "wide.mkv: cropped 80×36 to 60×36 and scaled to 80×48 (Lanczos)"
    assert lines[1] == "training wide: 2 steps"
    assert lines[-1].startswith("training wide: step 2 of 2, PSNR ")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["[/b]", "[red]x", ":smile: {x}", "%s", "ünïcødé 影片", "a=b", "-3"])
def test_any_printable_name_is_shown_as_it_is(name: str, folder: Path) -> None:
    assert name in run_here("pfnr-train", "add", "clip1.mkv", *TRAIN, "--name", name).stdout
    assert name in run_here("pfnr-train", "info").stdout
    assert name in run_here("pfnr-train", "eval", "--threads", 1).stdout
    assert run_here("pfnr-export", "--session", name, "-o", "v.onnx").code == 0
    assert name in run_here("pfnr-verify", "v.onnx").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--session", "6", "-o", "v.onnx"],
            "session '6' does not exist in this library; it has 0 (clip0), 1 (clip1)",
        ),
        (
            ["--session", "clip9", "-o", "v.onnx"],
            "session 'clip9' does not exist in this library; it has 0 (clip0)",
        ),
        (["--session", "-1", "-o", "v.onnx"], "session '-1' does not exist"),
        (["-s", "0", "-o", "nowhere/v.onnx"], "folder nowhere does not exist; make it first: mkdir -p nowhere"),
        (["-s", "0", "-o", "v.onnx", "-l", "missing.pfnr"], "missing.pfnr does not exist; make it with"),
        (["-s", "0", "-o", "v.onnx", "-l", "clip0.mkv"], "clip0.mkv is not a library"),
        (["-s", "0", "-o", "v.onnx", "-l", "cut.pfnr"], "cut.pfnr is not a library, or is truncated or damaged"),
        (["-s", "0", "-o", "v.onnx", "-l", "flipped.pfnr"], "do not match the digest"),
    ],
)
def test_export_says_what_is_wrong_and_writes_nothing(arguments: list[str], says: str, folder: Path) -> None:
    data = Path("library.pfnr").read_bytes()
    Path("cut.pfnr").write_bytes(data[: len(data) // 2])
    library = read_library(Path("library.pfnr"))
    weights = {name: -w for name, w in library.weights.items()}
    write_library(replace(library, weights=weights), Path("flipped.pfnr"))
    done = run_here("pfnr-export", *arguments)
    assert done.code == 1
    assert says in done.error
    assert not list(folder.glob("**/*.onnx"))


@pytest.mark.parametrize("output", ["library.pfnr", "other.pfnr", ".", "link.onnx"])
def test_export_never_writes_over_a_library(output: str, folder: Path) -> None:
    Path("link.onnx").symlink_to("library.pfnr")
    before = Path("library.pfnr").read_bytes()
    done = run_here("pfnr-export", "-s", 0, "-o", output)
    assert done.code == 2
    assert output in done.error
    assert Path("library.pfnr").read_bytes() == before
    assert not Path("other.pfnr").exists()


def test_a_locked_library_is_read_but_not_written(folder: Path) -> None:
    with lock_library(Path("library.pfnr")):
        done = run_here("pfnr-train", "add", "clip0.mkv", *TRAIN)
        assert (done.code, f"library.pfnr is locked: process {os.getpid()}" in done.error) == (1, True)
        assert run_here("pfnr-train", "info").code == 0
        assert run_here("pfnr-export", "-s", 0, "-o", "v.onnx").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("pfnr-train",),
        ("pfnr-train", "forget"),
        ("pfnr-train", "add"),
        ("pfnr-train", "add", "a", "b"),
        ("pfnr-train", "add", "a", "--density", "much"),
        ("pfnr-train", "info", "--nonsense"),
        ("pfnr-export",),
        ("pfnr-export", "-s", "0"),
        ("pfnr-verify",),
        ("pfnr-verify", "v.onnx", "--threads", "x"),
    ],
)
def test_wrong_usage_exits_with_2(words: tuple[str, ...]) -> None:
    done = run_here(*words)
    assert (done.code, done.stdout) == (2, "")
    # Typer explains the words it does not know; what words together leave out is named by the command itself.
    missing = {
        ("pfnr-export",): "name one session with --session",
        ("pfnr-export", "-s", "0"): "--output v.onnx",
        ("pfnr-verify",): "name the exported file to verify",
    }
    assert missing.get(words, "Usage: ") in done.stderr
    assert "Traceback" not in done.stderr
