"""pfnr-train run and compare: a sequence from nothing, going on where it stands, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.clip_surgery import spoil_packet
from helpers.clips import write_lossless, write_video
from helpers.running import run_here
from helpers.synthetic import moving_pattern

from pfnr_train.library.file import read_library
from pfnr_train.run.progress import StepProgress
from pfnr_train.session.training import SessionTraining, StepResult

SEQUENCE = """
name = "three"
size = "40x24"
[network]
preset = "tiny"
[recipe]
epochs = 1
batch = 1
density = 0.4
[[video]]
name = "a"
[[video]]
name = "b"
frames = "0:4"
[[video]]
name = "c"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips and a sequence of them, as the current folder."""
    for k, name in enumerate("abc"):
        write_lossless(tmp_path / f"{name}.mkv", moving_pattern(5, 40, 24, k))
    (tmp_path / "three.toml").write_text(SEQUENCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PFNR_DATA", ".")
    return tmp_path


def run(*arguments: object) -> dict:
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1, "--json", *arguments)
    assert done.code == 0, done.stderr
    return done.json


def refusal(*arguments: object) -> tuple[int, str]:
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1, *arguments)
    return done.code, done.error


def test_a_sequence_becomes_a_library_with_its_results_beside_it(folder: Path) -> None:
    results = run()
    library = read_library(Path("three.pfnr"))
    assert [s.record.video.name for s in library.sessions] == ["a", "b", "c"]
    assert [s.record.video.frames for s in library.sessions] == [5, 4, 5]
    assert [row["psnr"] for row in results["sessions"]] == [s.record.psnr for s in library.sessions]
    assert results["missing"] == []
    assert results["library_bytes"] == Path("three.pfnr").stat().st_size
    stored = json.loads(Path("three.json").read_text())
    assert stored | {"results": "three.json"} == results


def test_a_run_that_stopped_goes_on_and_ends_with_the_same_bytes(folder: Path) -> None:
    run("--library", "whole.pfnr")
    whole = Path("three.toml").read_text()
    Path("three.toml").write_text(whole[: whole.rindex("[[video]]")])
    run()
    first_two = json.loads(Path("three.json").read_text())["sessions"]
    Path("three.toml").write_text(whole)
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1, "--json")
    assert "three.pfnr holds 2 of 3 sessions" in done.stderr
    assert "session 3 of 3: c" in done.stderr
    assert "training a" not in done.stderr
    assert done.json["sessions"][:2] == first_two  # training times of the earlier run too
    assert Path("three.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()
    again = run()
    assert again["sessions"] == done.json["sessions"]


def test_a_session_that_was_interrupted_goes_on_where_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--epochs", 2, "--library", "whole.pfnr")
    honest = StepProgress.on_step

    def interrupt(self: StepProgress, training: SessionTraining, result: StepResult) -> None:
        honest(self, training, result)
        if (training.total_steps, result.step) == (8, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(StepProgress, "on_step", interrupt)
    stopped = run_here("pfnr-train", "run", "three.toml", "--threads", 1, "--epochs", 2)
    assert stopped.code == 130
    monkeypatch.setattr(StepProgress, "on_step", honest)
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1, "--epochs", 2)
    assert "resuming after step 3 of 8" in done.stderr
    assert Path("three.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()


def test_results_hold_what_was_asked_of_each_file_and_what_it_takes(folder: Path) -> None:
    plain = run("--only", "a", "--recipe", "own", "--library", "plain.pfnr")
    assert "target_bytes" not in plain["sessions"][0]
    result = run("--recipe", "default", "--set", "target_bpp=20.0", "--set", "density=1.0", "--library", "t.pfnr")
    for session in result["sessions"]:
        assert session["target_bytes"] == 20 * session["frames"] * 40 * 24 / 8
        packed = folder / "v.pfnv"
        exported = run_here("pfnr-export", "--library", "t.pfnr", "-s", session["name"], "-o", packed)
        assert exported.code == 0, exported.stderr
        assert session["packed_bytes"] == pytest.approx(packed.stat().st_size, rel=0.005)


def test_only_some_videos(folder: Path) -> None:
    assert [row["name"] for row in run("--only", "c", "--only", "a")["sessions"]] == ["a", "c"]
    code, error = refusal("--only", "d")
    assert (code, error) == (2, "d: not in sequence three, which has a, b, c")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--epochs", 2), "session 0 has epochs 1 instead of 2"),
        (("--density", 0.5), "session 0 has density 0.4 instead of 0.5"),
        (("--seed", 1), "session 0 has seed 0 instead of 1"),
        (("--frames", 3), "session 0 has frames 5 instead of 3"),
        (("--only", "b"), "session 0 has name a instead of b"),
    ],
)
def test_a_library_that_differs_is_refused_and_left_alone(
    arguments: tuple[object, ...], reason: str, folder: Path
) -> None:
    run("--only", "a")
    before = Path("three.pfnr").read_bytes()
    code, error = refusal(*arguments)
    assert code == 1
    assert f"three.pfnr is not the beginning of three as requested: {reason}; name another library" in error
    assert Path("three.pfnr").read_bytes() == before


def test_another_network_or_recipe_is_refused(folder: Path) -> None:
    run("--only", "a")
    Path("three.toml").write_text(SEQUENCE.replace('"tiny"', '"tiny"\nfourier = "add"'))
    assert "its network has fourier " in refusal()[1]
    Path("three.toml").write_text(SEQUENCE.replace("epochs = 1", "epochs = 1\nwarmup = 0.5"))
    assert "it was trained with warmup 0.2 instead of 0.5 (three.json)" in refusal()[1]
    Path("three.json").write_text("[]")
    assert "three.json is not a results file of this command" in refusal()[1]


def test_nothing_is_trained_before_all_clips_are_there(folder: Path) -> None:
    Path("b.mkv").unlink()
    Path("c.mkv").unlink()
    code, error = refusal()
    assert code == 1
    assert error.startswith("2 of the 3 videos of three cannot be used: missing in .: b, c;")
    assert not Path("three.pfnr").exists()


def test_a_clip_of_another_size_is_said(folder: Path) -> None:
    write_lossless(folder / "c.mkv", moving_pattern(5, 80, 60, 2))
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1, "--only", "a", "--only", "c")
    assert "c: cropped 80×60 to 80×48 and scaled to 40×24 (Lanczos)" in done.stderr
    assert done.code == 0


def test_a_clip_scaled_by_averaging_is_found_again(folder: Path) -> None:
    write_lossless(folder / "c.mkv", moving_pattern(5, 60, 36, 2))
    Path("three.toml").write_text(SEQUENCE.replace('size = "40x24"', 'size = "40x24"\nscaling = "average"'))
    run("--only", "c")
    evaluated = run_here("pfnr-train", "eval", "-l", "three.pfnr", "--threads", 1, "--json").json
    assert evaluated["sessions"][0]["change"] == 0


def test_tensorboard_sees_scalars_and_pictures_and_changes_nothing(folder: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run("--only", "a", "--only", "b", "--epochs", 2)
    Path("three.pfnr").rename("plain.pfnr")
    Path("three.json").unlink()
    run("--only", "a", "--only", "b", "--epochs", 2, "--tensorboard", "log")
    assert Path("three.pfnr").read_bytes() == Path("plain.pfnr").read_bytes()
    for name, steps in (("a", 10), ("b", 8)):
        events = accumulator.EventAccumulator(f"log/{name}").Reload()
        assert {"train/loss", "train/psnr", "train/learning_rate"} <= set(events.Tags()["scalars"])
        losses = events.Scalars("train/loss")
        assert [e.step for e in losses] == list(range(1, steps + 1))
        assert losses[-1].value < losses[0].value
        (tag,) = events.Tags()["images"]
        picture = events.Images(tag)[-1]
        assert (picture.width, picture.height, picture.step) == (3 * 40, 24, steps)


def test_tensorboard_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    done = run_here("pfnr-train", "add", "a.mkv", "--tensorboard", "log")
    assert done.code == 4
    assert done.error.startswith("a TensorBoard log needs ")
    assert "pip install 'pfnr[tensorboard]'" in done.error


def test_a_comparison_is_one_table_and_goes_on_where_it_stopped(folder: Path) -> None:
    arguments = ("pfnr-train", "compare", "three.toml", "--threads", 1, "--only", "a", "--only", "b")
    done = run_here(*arguments, "--methods", "stl,wsn@0.2", "--json")
    assert done.code == 0, done.stderr
    stl, wsn = done.json["methods"]
    assert (stl["method"], wsn["method"]) == ("stl", "wsn@0.2")
    for result in (stl, wsn):
        assert result["backward_transfer"] == 0
        assert result["matrix"][0][0] == result["matrix"][0][1] == result["psnr"][0]
        assert result["matrix"][1][0] is None
        assert result["mean_psnr"] == pytest.approx(sum(result["psnr"]) / 2)
        assert len(result["seconds"]) == 2
    more = run_here(*arguments, "--methods", "wsn@0.2,fine-tuning,mtl")
    assert "wsn@0.2: already done" in more.stderr
    lines = [line for line in more.stdout.splitlines() if "│" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["wsn@0.2", "fine-tuning", "mtl"]
    other = run_here(*arguments, "--methods", "stl", "--epochs", 2)
    assert other.code == 2
    assert "stl.json has a different recipe, network, version or clips" in other.error


def test_a_comparison_of_unknown_methods_trains_nothing(folder: Path) -> None:
    done = run_here("pfnr-train", "compare", "three.toml", "--methods", "stl,best")
    assert done.code == 2
    assert "method 'best' is none of stl, mtl" in done.error
    assert not Path("out").exists()


def test_what_is_noted_of_a_clip_is_said_before_it_is_trained(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 24, 40, 3), np.uint8)
    spoil_packet(write_video(folder / "bad.avi", noise, "mjpeg", "yuvj420p"), 3)
    (folder / "three.toml").write_text(SEQUENCE.replace('name = "c"', 'name = "c"\nclip = "bad.avi"'))
    assert "damaged at frame 3" in refusal()[1]
    text = SEQUENCE.replace('name = "c"', 'name = "c"\nclip = "bad.avi"\ntolerate_damage = true')
    (folder / "three.toml").write_text(text)
    done = run_here("pfnr-train", "run", "three.toml", "--threads", 1)
    assert done.code == 0
    assert "c: damaged at frame 3 (0.12 s)" in done.stderr
