"""A time budget chooses the number of epochs, and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import write_lossless
from helpers.libraries import made_clip, made_library, small_config
from helpers.synthetic import moving_pattern
from typer.testing import CliRunner

import pfnr_train.run.session_job
import pfnr_train.run.time_budget
from pfnr_runtime.errors import UsageError
from pfnr_train.commands import app
from pfnr_train.library.file import read_library, write_library
from pfnr_train.machine.execution import Execution
from pfnr_train.run.time_budget import epochs_in
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining


@dataclass
class Clock:
    """A clock that only steps and measuring move: costs in seconds."""

    now: float = 1000.0
    early: float = 0.2
    late: float = 0.1
    measuring: float = 0.5

    def install(self, patch: pytest.MonkeyPatch) -> None:
        def step(training: SessionTraining, batch: Any) -> None:
            self.now += self.early if training.step_count < 0.5 * training.total_steps else self.late
            training.step_count += 1

        def measure(*_: Any) -> None:
            self.now += self.measuring

        patch.setattr(SessionTraining, "step", step)
        patch.setattr(pfnr_train.run.time_budget, "measure_quality", measure)
        patch.setattr(time, "monotonic", lambda: self.now)


def chosen(clock: Clock, seconds: float) -> int:
    library = new_library(small_config(), 0)
    return epochs_in(seconds, 990.0, library, made_clip(library.config, 0, 6), Recipe(batch=2), Execution())


@pytest.mark.parametrize("seconds", [60.0, 600.0, 7200.0])
def test_start_training_and_measuring_together_fill_the_budget(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    clock.install(monkeypatch)
    epochs = chosen(clock, seconds)
    before = clock.now - 990.0
    # A third of the schedule is timed at each of three moments, two of which are in its later part.
    step = (clock.early + 2 * clock.late) / 3
    whole = before + epochs * 3 * step + clock.measuring * 6 / 4
    assert whole <= seconds < whole + 3 * step
    assert before - 10 < max(0.06 * seconds, 6)


def test_a_budget_that_no_epoch_fits_is_refused_with_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(early=9.0, late=9.0)
    clock.install(monkeypatch)
    with pytest.raises(UsageError, match=r"time budget of 20 s is too short: one epoch takes 27\.0 s here, with"):
        chosen(clock, 20.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_library(made_library(small_config(), 1), tmp_path / "library.pfnr")
    write_lossless(tmp_path / "clip.mkv", moving_pattern(5, 20, 12))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["add", "clip.mkv", "--threads", "1", *map(str, arguments)])
    return done.exit_code, done.stderr


def test_the_number_chosen_is_recorded_and_as_epochs_gives_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = folder / "library.pfnr"
    before = library.read_bytes()
    monkeypatch.setattr(pfnr_train.run.session_job, "epochs_in", lambda *_: 3)
    assert add("--time-budget", "1h")[0] == 0
    assert read_library(library).sessions[1].record.epochs == 3
    budgeted = library.read_bytes()
    library.write_bytes(before)
    assert add("--epochs", 3)[0] == 0
    assert library.read_bytes() == budgeted


@pytest.mark.slow
def test_a_budget_on_this_machine(folder: Path) -> None:
    code, said = add("--time-budget", "15s")
    record = read_library(folder / "library.pfnr").sessions[-1].record
    assert code == 0
    assert f"ms, so {record.epochs} epochs" in said


def test_epochs_and_a_time_budget_exclude_one_another(folder: Path) -> None:
    code, said = add("--epochs", 3, "--time-budget", "1m")
    assert (code, said) == (
        2,
        "error: --epochs and --time-budget both set how long to train; give one of them\n",
    )


@pytest.mark.parametrize("text", ["", "5", "0s", "-1m", "5 m", "1m1h", "1e3s", "1001h", "m", "nans"])
def test_a_duration_that_is_none_is_named(text: str, folder: Path) -> None:
    code, said = add("--time-budget", text)
    assert code == 2
    assert said.startswith(f"error: duration {text!r} is not between 0 and 1000 hours")


def test_a_resumed_training_keeps_the_epochs_that_were_chosen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SessionTraining.step
    with monkeypatch.context() as patch:

        def interrupted(training: SessionTraining, batch: Any) -> Any:
            if training.step_count == 4:
                raise MemoryError
            return step(training, batch)

        patch.setattr(SessionTraining, "step", interrupted)
        patch.setattr(pfnr_train.run.session_job, "epochs_in", lambda *_: 3)
        assert add("--time-budget", "1h", "--save-every", "0.0001s")[0] == 1
    code, said = add("--time-budget", "1h", "--resume")
    assert code == 0
    assert "resuming after step 4 of 9\n" in said
    assert read_library(folder / "library.pfnr").sessions[1].record.epochs == 3
