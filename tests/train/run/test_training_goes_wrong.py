"""What can end a training or spoil it: one line that says what to do, and the library as it was."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips import write_lossless
from helpers.disks import small_disk_at
from helpers.libraries import made_clip, made_library, small_config, trained
from helpers.synthetic import moving_pattern
from typer.testing import CliRunner

from pfnr_runtime.errors import TrainingError
from pfnr_train.commands import app
from pfnr_train.library.capacity import lack_of_free_weights
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library
from pfnr_train.run.add_session import add_session
from pfnr_train.run.session_job import SessionJob
from pfnr_train.run.state_keeper import Saving
from pfnr_train.run.training_state import state_path
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining

RECIPE = Recipe(epochs=4, batch=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_library(made_library(small_config(), 2), tmp_path / "library.pfnr")
    write_lossless(tmp_path / "clip.mkv", moving_pattern(5, 20, 12))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["add", "clip.mkv", "--threads", "1", "--epochs", "4", "--batch", "2", *map(str, arguments)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stderr


def at_step(patch: pytest.MonkeyPatch, number: int, happens: Any) -> None:
    """Let something happen before the step after `number` steps."""
    step = SessionTraining.step

    def spoiled(training: SessionTraining, batch: Any) -> Any:
        if training.step_count == number:
            happens(training)
        return step(training, batch)

    patch.setattr(SessionTraining, "step", spoiled)


def test_a_loss_that_is_no_number_names_the_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "library.pfnr").read_bytes()
    at_step(monkeypatch, 6, lambda t: t.form.head["weight"].data.fill_(math.nan))
    code, said = add("--save-every", "0.0001s")
    assert code == 1
    assert said.splitlines()[-2:] == [
        "library.pfnr.2.training holds the training after step 6 of 12: start again with --discard",
        "error: the loss became nan at step 7 of 12; the library is left as it was. Try a lower --learning-rate "
        "than 0.015",
    ]
    assert (folder / "library.pfnr").read_bytes() == before


def test_weights_that_are_no_numbers_after_the_last_step_are_kept_out(tmp_path: Path) -> None:
    library = made_library(small_config(), 1)

    def spoil(training: SessionTraining, result: Any) -> None:
        if result.step == training.total_steps:
            training.form.weights["stem.0.weight"].data[0, 0] = math.inf

    with pytest.raises(TrainingError, match=r"stem\.0\.weight is no longer all numbers after step 12 of 12"):
        SessionJob(made_clip(library.config), "clip", RECIPE, observers=(spoil,)).run(library, tmp_path / "l.pfnr")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "cpu"),
        (MemoryError(), "this machine"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "this machine"),
    ],
)
def test_a_lack_of_memory_names_what_needs_less(
    error: Exception, what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(training: SessionTraining) -> None:
        raise error

    before = (folder / "library.pfnr").read_bytes()
    at_step(monkeypatch, 3, fail)
    code, said = add()
    assert code == 1
    assert said.splitlines()[-1] == (
        f"error: {what} has not enough memory for this training: take a smaller --batch than 2, fewer --frames "
        "or, in a new library, a smaller --size or --preset (tiny, s, m, l, canvas, cpu-s, cpu-m, edge-s, "
        "edge-m, edge-l)"
    )
    assert (folder / "library.pfnr").read_bytes() == before


def test_an_error_that_is_not_about_memory_stays_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(training: SessionTraining) -> None:
        raise RuntimeError("something else")

    at_step(monkeypatch, 3, fail)
    with pytest.raises(RuntimeError, match="something else"):
        trained(new_library(small_config(), 0), [RECIPE])


@pytest.fixture(scope="module")
def full() -> Library:
    """A library whose one session uses every weight."""
    return trained(new_library(small_config(), 0), [Recipe(epochs=1, density=1.0)])[0]


def test_a_library_without_free_weights_says_so_before_training(full: Library, folder: Path) -> None:
    write_library(full, folder / "library.pfnr")
    code, said = add()
    assert code == 0
    count = sum(w.size for w in full.weights.values())
    warning = (
        f"warning: none of this library's {count:,} weights is free, its one session froze them all: this one "
        "trains only its masks over them and the 12 weights of its head. Sessions trained with a larger --plan, "
        "or with a lower --density, would have left it some; a new library has all of them\n"
    )
    assert said.index(warning) < said.index("training clip")


def test_a_session_can_live_on_frozen_weights_alone(full: Library) -> None:
    clip = made_clip(full.config, 1)
    quality = {}
    for epochs in (1, 60):
        recipe = Recipe(epochs=epochs, density=0.5)
        grown, measured = add_session(full, clip, "second", "", recipe, lambda *_: None)
        for name, weight in full.weights.items():
            assert grown.weights[name].tobytes() == weight.tobytes()
        quality[epochs] = measured.psnr
    assert quality[60] > quality[1] + 0.5


def test_tensors_without_free_weights_are_named() -> None:
    library = made_library(small_config(), 2)
    first = library.sessions[0]
    masks = {**first.values.masks, "stem.0.weight": np.full_like(first.values.masks["stem.0.weight"], 255)}
    fuller = replace(first, values=replace(first.values, masks=masks))
    grown = replace(library, sessions=(fuller, library.sessions[1]))
    total = sum(w.size for w in library.weights.values())
    free = sum(int((~used).sum()) for used in grown.used().values())
    assert lack_of_free_weights(grown) == (
        f"its 2 sessions froze all weights of stem.0.weight; {free:,} of the library's {total:,} are free"
    )
    assert lack_of_free_weights(library) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on its own disk of 2 MB, where this process may mount one."""
    with small_disk_at(tmp_path / "disk", "2m") as folder:
        yield folder


def test_a_disk_that_fills_up_stops_no_training_and_loses_none(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pfnr")
    library, path, filler = made_library(small_config(), 2), small_disk / "library.pfnr", small_disk / "filler"
    write_library(library, path)
    before = path.read_bytes()

    def fill(training: SessionTraining, result: Any) -> None:
        if result.step == 8:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))

    clip = made_clip(library.config)
    with pytest.raises(OSError, match="No space left") as caught:
        SessionJob(clip, "clip", RECIPE, saving=Saving(every=0), observers=(fill,)).run(library, path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    said = caplog.messages
    state = state_path(path, 2)
    assert said == [
        f"the training's state was not saved, and training goes on: {state}: the disk is full; free some space "
        "and run the command again",
        f"{state} holds the training after step 7 of 12: go on with `resume`",
    ]
    assert path.read_bytes() == before
    filler.unlink()
    SessionJob(clip, "clip", RECIPE, saving=Saving(resume=True)).run(library, path)
    SessionJob(clip, "clip", RECIPE).run(library, tmp_path / "disk" / "other.pfnr")
    assert path.read_bytes() == (small_disk / "other.pfnr").read_bytes()
    assert sorted(p.name for p in small_disk.iterdir()) == ["library.pfnr", "other.pfnr"]
