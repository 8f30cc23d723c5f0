"""Imported sessions decode what the reference decoder does, and live on like any other session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import Shape, decode, make_checkpoint
from helpers.synthetic import moving_pattern
from typer.testing import CliRunner

from pfnr_export.commands.export import app as export_app
from pfnr_export.commands.verify import app as verify_app
from pfnr_export.export_session import ExportOptions, export_session
from pfnr_train.commands import app
from pfnr_train.commands.import_ import join_number_lists
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library
from pfnr_train.model.network import MaskedSession

FRAMES = 4
SHAPES = {
    "replace": Shape(),
    "replace, biases": Shape(bias=True),
    "replace, sigmoid": Shape(sigmoid=True),
    "first block": Shape(freq=0),
    "last block of three": Shape(strides=(2, 2, 2), freq=2, tasks=1),
    "no Fourier block": Shape(freq=-1),
    "no Fourier block, biases, sigmoid": Shape(freq=-1, bias=True, sigmoid=True),
    "concat": Shape(cat_size=2),
    "concat, biases": Shape(cat_size=1, bias=True, sigmoid=True),
    "concat at the first block": Shape(cat_size=2, freq=0, bias=True),
    "even rows": Shape(grid=(4, 6), freq=0),
    "a block of stride one": Shape(strides=(2, 1, 2), channels=8),
    "one block": Shape(strides=(3,), freq=-1),
    "fewer modes than the map": Shape(modes=(2, 3)),
    "another embedding": Shape(base=1.5, levels=9),
    "one task": Shape(tasks=1),
}


def save(shape: Shape, path: Path, seed: int = 0) -> Path:
    torch.save(make_checkpoint(shape, seed), path)
    return path


def run_import(checkpoint: Path, output: Path, *flags: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["import", str(checkpoint), "-o", str(output), *flags])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


def frame(library: Library, session: int, index: int) -> torch.Tensor:
    return MaskedSession(library.session_weights(session))(torch.tensor([index]))[0]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    shape = Shape(grid=(4, 6), strides=(2, 2), channels=6)
    run_import(save(shape, folder / "t.pth"), folder / "library.pfnr", *shape.flags(FRAMES))
    return folder / "library.pfnr"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_session_decodes_the_reference_frames(shape: Shape, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(shape, seed=3)
    torch.save(checkpoint, tmp_path / "t.pth")
    run_import(tmp_path / "t.pth", tmp_path / "l.pfnr", *shape.flags(FRAMES))
    library = read_library(tmp_path / "l.pfnr")
    assert len(library.sessions) == shape.tasks
    for task in range(shape.tasks):
        for index in range(FRAMES):
            expected = decode(checkpoint, shape, task, index, FRAMES)
            found = frame(library, task, index)
            assert found.shape == expected.shape
            assert float(expected.std()) > 0.01
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_frames_of_a_real_checkpoint_are_those_of_its_own_decoder(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shared_data("reference_checkpoint")
    flags = "--fc-hw-dim 9_16_8 --strides 5 2 2 --embed 1.25_40 --frames 16,16,16 --freq 1 --cat-size -1"
    run_import(folder / "visible.pth", tmp_path / "l.pfnr", *flags.split(), "--lower-width", "8")
    library = read_library(tmp_path / "l.pfnr")
    assert [s.record.video.name for s in library.sessions] == ["a", "b", "c"]
    with np.load(folder / "visible_expected.npz") as expected:
        assert len(expected) == 9
        for name in expected:
            session, index = (int(part[1:]) for part in name.split("_"))
            found = frame(library, session, index).numpy()
            np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "spelling",
    [
        ["--strides", "2", "2", "--frames", "4,4"],
        ["--strides", "2 2", "--frames", "4", "4"],
        ["--strides", "2,2", "--frames", "4, 4"],
        ["--strides=2,2", "--frames=4,4"],
    ],
)
def test_number_lists_are_taken_as_the_trainer_takes_them_or_with_commas(
    spelling: list[str], tmp_path: Path
) -> None:
    shape = Shape()
    save(shape, tmp_path / "t.pth")
    rest = ["--fc_hw_dim", "5_8_6", "--embed", "1.25_6"]
    output = tmp_path / "l.pfnr"
    for order in ([*spelling, str(tmp_path / "t.pth"), *rest], [*rest, *spelling, "--", str(tmp_path / "t.pth")]):
        output.unlink(missing_ok=True)
        done = CliRunner().invoke(app, ["import", "-o", str(output), *order])
        assert done.exit_code == 0, done.output
        assert read_library(output).config.strides == (2, 2)


def test_only_numbers_right_after_a_list_flag_are_joined() -> None:
    assert join_number_lists(["--strides", "5", "2", "x.pth"]) == ["--strides", "5,2", "x.pth"]
    assert join_number_lists(["--reduction", "2", "7"]) == ["--reduction", "2", "7"]
    assert join_number_lists(["--strides", "5", "--freq", "1", "2"]) == ["--strides", "5", "--freq", "1", "2"]


def test_names_and_rate_are_taken_and_numbers_reported(tmp_path: Path) -> None:
    shape = Shape()
    save(shape, tmp_path / "t.pth")
    flags = [*shape.flags(), "--names", "first,second", "--fps", "30000/1001", "--json"]
    result = json.loads(run_import(tmp_path / "t.pth", tmp_path / "l.pfnr", *flags))
    assert [s["video"]["name"] for s in result["sessions"]] == ["first", "second"]
    assert {s["video"]["fps"] for s in result["sessions"]} == {"30000/1001"}
    assert all(s["psnr"] is None and s["source_path"] == "" for s in result["sessions"])
    assert all(0.5 < s["density"] < 0.9 for s in result["sessions"])


def test_a_checkpoint_trained_on_several_gpus_is_the_same(tmp_path: Path) -> None:
    shape = Shape()
    checkpoint = make_checkpoint(shape)
    for part in (checkpoint, checkpoint["per_task_masks"][0], checkpoint["per_task_masks"][1]):
        names = part["state_dict"] if part is checkpoint else part
        renamed = {f"module.{name}": value for name, value in names.items()}
        names.clear()
        names.update(renamed)
    torch.save(checkpoint, tmp_path / "wrapped.pth")
    save(shape, tmp_path / "plain.pth")
    for name in ("wrapped", "plain"):
        run_import(tmp_path / f"{name}.pth", tmp_path / f"{name}.pfnr", *shape.flags())
    assert (tmp_path / "wrapped.pfnr").read_bytes() == (tmp_path / "plain.pfnr").read_bytes()


def test_a_checkpoint_saved_midway_has_the_sessions_trained_so_far(tmp_path: Path) -> None:
    shape = Shape(tasks=3)
    checkpoint = make_checkpoint(shape)
    del checkpoint["per_task_masks"][2]
    torch.save(checkpoint, tmp_path / "t.pth")
    run_import(tmp_path / "t.pth", tmp_path / "l.pfnr", *replace(shape, tasks=2).flags())
    library = read_library(tmp_path / "l.pfnr")
    assert len(library.sessions) == 2
    for task in range(2):
        torch.testing.assert_close(
            frame(library, task, 1), decode(checkpoint, shape, task, 1, FRAMES), rtol=0, atol=1e-5
        )


def test_imported_sessions_export_and_verify(imported: Path, tmp_path: Path) -> None:
    for session in ("0", "1"):
        artifact = tmp_path / f"v{session}.onnx"
        done = CliRunner().invoke(export_app, ["-s", session, "-l", str(imported), "-o", str(artifact)])
        assert done.exit_code == 0, done.output
        done = CliRunner().invoke(verify_app, [str(artifact), "-l", str(imported), "--threads", "1"])
        assert done.exit_code == 0, done.output


def test_new_sessions_leave_imported_ones_byte_identical(imported: Path, tmp_path: Path) -> None:
    from PIL import Image

    before = read_library(imported)
    artifacts = [tmp_path / "before.onnx", tmp_path / "after.onnx"]
    export_session(before, 0, artifacts[0], ExportOptions())
    library = tmp_path / "grown.pfnr"
    library.write_bytes(imported.read_bytes())
    width, height = before.config.size
    clip = tmp_path / "clip"
    clip.mkdir()
    for i, picture in enumerate(moving_pattern(4, width, height)):
        Image.fromarray(picture).save(clip / f"{i:03}.png")
    options = ["--epochs", "4", "--density", "0.5", "--threads", "1", "--device", "cpu", "--json"]
    done = CliRunner().invoke(app, ["add", str(clip), "-l", str(library), *options])
    assert done.exit_code == 0, done.output
    after = read_library(library)
    assert len(after.sessions) == 3
    export_session(after, 0, artifacts[1], ExportOptions())
    assert artifacts[0].read_bytes() == artifacts[1].read_bytes()
    changed = [n for n in before.weights if not np.array_equal(before.weights[n], after.weights[n])]
    assert changed, "the new session trained nothing"


def test_eval_says_that_no_source_is_known_and_takes_one_that_is_named(imported: Path, tmp_path: Path) -> None:
    from PIL import Image

    done = CliRunner().invoke(app, ["eval", "-l", str(imported), "--threads", "1"])
    assert done.exit_code == 1
    assert "is unknown; name its clip" in done.output
    width, height = read_library(imported).config.size
    clip = tmp_path / "clip"
    clip.mkdir()
    for i, picture in enumerate(moving_pattern(FRAMES, width, height)):
        Image.fromarray(picture).save(clip / f"{i:03}.png")
    done = CliRunner().invoke(
        app, ["eval", "-l", str(imported), "--clip", f"0={clip}", "--threads", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["sessions"]
    assert rows[0]["psnr"] > 0
    assert rows[1]["psnr"] is None
