"""pfnr-train add: bad clips and bad options are one line each, and leave the library as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
from helpers.clip_surgery import join_streams, spoil_packet
from helpers.clips import write_image, write_lossless, write_video
from helpers.running import TRAIN, run_here
from helpers.synthetic import moving_pattern

from pfnr_train.library.file import read_library, write_library

BAD_CLIPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "words.mp4": (lambda p: p.write_text("only words\n" * 99), "not a video"),
    "empty.mp4": (lambda p: p.touch(), "the file is empty"),
    "cut.mp4": (lambda p: p.write_bytes(write_video(p, 20).read_bytes()[:3000]), "cut.mp4: "),
    "cut.mkv": (lambda p: p.write_bytes(write_lossless(p, 20).read_bytes()[:-9000]), "cut short after"),
    "one.mkv": (lambda p: write_lossless(p, 1), "needs at least 2 frames"),
    "missing.mkv": (lambda p: None, "no such file or folder"),
    "nothing": (lambda p: p.mkdir(), "nothing"),
    "changing": (
        lambda p: [
            p.mkdir(),
            write_image(p / "0.png", moving_pattern(1, 40, 24)[0]),
            write_image(p / "1.png", moving_pattern(1, 48, 24)[0]),
        ],
        "frame 1 is 48×24, the frames before it are 40×24",
    ),
}


@pytest.mark.parametrize("name", BAD_CLIPS)
def test_a_bad_clip_is_one_line_and_leaves_the_library(name: str, folder: Path) -> None:
    make, says = BAD_CLIPS[name]
    make(folder / name)
    before = Path("library.pfnr").read_bytes()
    done = run_here("pfnr-train", "add", name, *TRAIN)
    assert done.code == 1
    assert says in done.error
    assert name in done.error
    assert Path("library.pfnr").read_bytes() == before
    fresh = run_here("pfnr-train", "add", name, "-l", "new.pfnr", *TRAIN)
    assert fresh.code == 1
    assert not list(Path().glob("new.pfnr*"))  # no lock file either


def test_a_read_only_library_is_refused_before_anything_is_trained(folder: Path) -> None:
    write_lossless(folder / "second.mkv", 5)
    library = Path("library.pfnr")
    before = library.read_bytes()
    library.chmod(0o444)
    done = run_here("pfnr-train", "add", "second.mkv", *TRAIN)
    assert (done.code, done.error) == (
        1,
        "library.pfnr is read-only; allow writing with chmod u+w, or add to a copy of it",
    )
    assert library.read_bytes() == before
    assert library.stat().st_mode & 0o777 == 0o444
    assert run_here("pfnr-train", "info", "--json").code == 0  # reading goes on


def test_an_unreadable_library_is_a_failure_like_an_unreadable_artifact(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root, who often runs tests, may read everything: what the system answers is made up here.
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", "library.pfnr")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode, **options: mode != os.R_OK)
    for arguments in (("info",), ("eval",)):
        done = run_here("pfnr-train", *arguments)
        assert (done.code, done.error) == (1, "library.pfnr: permission denied; make the file readable")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--density", "0"], 2, "density 0.0 is not allowed; choose above 0, up to 1"),
        (["--density", "1.5"], 2, "density 1.5 is not allowed"),
        (["--density", "nan"], 2, "density nan is not allowed"),
        (["--epochs", "0"], 2, "epochs 0 is not allowed; choose 1 to 100000"),
        (["--learning-rate", "0"], 2, "learning rate 0.0 is not allowed"),
        (["--batch", "0"], 2, "batch 0 is not allowed"),
        (["--seed", "-1"], 2, "seed -1 is not allowed"),
        (["--threads", "0"], 2, "--threads 0 is outside 1 to 1024"),
        (["--device", "tpu"], 2, "device 'tpu' is none of auto, cpu, cuda"),
        (["--size", "abc"], 2, "size 'abc' is not WIDTHxHEIGHT, such as 320x180"),
        (["--size", "0x24"], 2, "size '0x24' is not WIDTHxHEIGHT"),
        (["--size", "320x180"], 2, "this library's frames are 80x48"),
        (["--size", "41x23", "-l", "new.pfnr"], 2, "frame size 41x23 has no stride plan"),
        (["--frames", "5:2"], 1, "clip0.mkv: the range 5:2 is empty; it is half-open"),
        (["--frames", "3:2"], 1, "the range 3:2 is empty"),
        (["--frames", "0:99"], 1, "leaves the clip, which has 5 frames"),
        (["--frames", "2:3"], 1, "is one frame, and a video needs at least 2"),
        (["--frames", "0:4:2"], 1, "leave out the step 2"),
        (["--frames", "many"], 2, "frame range 'many' is not A:B"),
        (["--preset", "xl", "-l", "new.pfnr"], 2, "preset 'xl' is none of tiny, s, m, l"),
        (["--preset", "l"], 2, "--preset l asks for another network than this library has"),
        (["--fourier", "add"], 2, "--fourier add asks for another network"),
        (["--bias"], 2, "asks for another network"),
        (["--fourier", "dct", "-l", "new.pfnr"], 2, "'dct' is none of replace, add, concat"),
        (["--fourier", "none", "--placement", "centered", "-l", "new.pfnr"], 2, "--fourier none leaves nothing"),
        (["--fourier", "add", "--fourier-channels", "3", "-l", "new.pfnr"], 2, "needs --fourier concat"),
        (["--fourier", "concat", "--fourier-channels", "99", "-l", "new.pfnr"], 2, "concat needs 1 to"),
        (["--fourier-block", "7", "-l", "new.pfnr"], 2, "blocks 0 to 1"),
        (["--placement", "left", "-l", "new.pfnr"], 2, "'left' is none of centered, reference"),
        (["--name", "clip0"], 2, "session name 'clip0' is taken or a number"),
        (["--name", "7"], 2, "session name '7' is taken or a number"),
        (["--name", ""], 2, "session name '' must have 1 to 200 printable characters"),
        (["--name", "a" * 201], 2, "must have 1 to 200 printable characters"),
        (["--name", "a\nb"], 2, "must have 1 to 200 printable characters"),
        (["-l", "no/such/library.pfnr"], 1, "folder no/such does not exist; make it first: mkdir -p no/such"),
        (["-l", "."], 1, "is a folder; name the library file in it"),
        (["-l", "clip1.mkv"], 1, "clip1.mkv is not a library"),
    ],
)
def test_a_bad_option_of_add_is_one_line(arguments: list[str], code: int, says: str, folder: Path) -> None:
    before = Path("library.pfnr").read_bytes()
    done = run_here("pfnr-train", "add", "clip0.mkv", "--epochs", 1, "--threads", 1, *arguments)
    assert says in done.error
    assert done.code == code
    assert Path("library.pfnr").read_bytes() == before
    assert not Path("new.pfnr").exists()


def test_a_stream_is_chosen_by_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = [write_lossless(tmp_path / f"{k}.mkv", moving_pattern(4, 40, 24, k)) for k in range(2)]
    join_streams(tmp_path / "both.mkv", [(parts[0], True), (parts[1], False)])
    done = run_here("pfnr-train", "add", "both.mkv", "--stream", 1, *TRAIN)
    assert done.code == 0
    assert "both.mkv: video stream 1 (40×24 ffv1) is used" in done.stderr
    assert run_here("pfnr-train", "eval").code == 0
    wrong = run_here("pfnr-train", "add", "both.mkv", "--stream", 2, *TRAIN)
    assert wrong.code == 1
    assert "stream 2 is not a video; its video streams: 0 (40×24 ffv1), 1 (40×24 ffv1)" in wrong.error


def test_damage_is_refused_or_tolerated_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (6, 24, 40, 3), np.uint8)
    spoil_packet(write_video(tmp_path / "a.avi", noise, "mjpeg", "yuvj420p"), 3)
    refused = run_here("pfnr-train", "add", "a.avi", *TRAIN)
    assert refused.code == 1
    assert "damaged at frame 3 (0.12 s)" in refused.error
    done = run_here("pfnr-train", "add", "a.avi", "--tolerate-damage", *TRAIN)
    assert done.code == 0
    assert "a.avi: damaged at frame 3 (0.12 s)" in done.stderr
    assert run_here("pfnr-train", "eval").code == 0


def test_nothing_is_added_to_a_library_whose_frozen_weights_have_changed(folder: Path) -> None:
    write_lossless(folder / "second.mkv", 5)
    library = read_library(Path("library.pfnr"))
    used = library.sessions[0].values.pool_masks(library.config)
    name = next(name for name in used if used[name].any())
    place = np.unravel_index(used[name].argmax(), used[name].shape)
    weights = {name: library.weights[name].copy()}
    weights[name][place] *= 1.25
    write_library(replace(library, weights=library.weights | weights), Path("library.pfnr"))
    before = Path("library.pfnr").read_bytes()
    done = run_here("pfnr-train", "add", "second.mkv", *TRAIN)
    assert done.code == 1
    assert "do not match the digest" in done.error
    assert Path("library.pfnr").read_bytes() == before
