"""Sessions trained side by side: the bytes of one machine, in whatever order they end and whatever fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.many_sessions import Backwards, make_sequence
from helpers.running import run_here

from pfnr_runtime.errors import LibraryError, PfnrError, UsageError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_train.executors.base import Work
from pfnr_train.library.file import lock_library, read_library
from pfnr_train.sequence import task
from pfnr_train.sequence.clips import find_clips
from pfnr_train.sequence.parallel import FailedSessionsError, ParallelRun, Row
from pfnr_train.sequence.run import SequenceRun
from pfnr_train.sequence.sequence import read_sequence
from pfnr_train.session.training import SessionTraining


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips, the sequence of them, and the library that one process makes of it."""
    folder = tmp_path_factory.mktemp("many")
    make_sequence(folder, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sequential(Path("whole.pfnr"))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder."""
    monkeypatch.chdir(tmp_path)
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def sequential(path: Path) -> None:
    sequence = read_sequence(Path("many.toml"))
    SequenceRun(sequence, find_clips(sequence, Path(".")), path).train()


def parallel(executor: Backwards, watch: list[list[Row]] | None = None) -> None:
    sequence = read_sequence(Path("many.toml"))
    run = SequenceRun(sequence, find_clips(sequence, Path(".")), Path("many.pfnr"))
    shown = [] if watch is None else watch
    ParallelRun(run, executor, save_every=0, watch=lambda rows: shown.append(list(rows))).train()


def test_the_same_bytes_whatever_the_order_and_nothing_left_over(folder: Path) -> None:
    executor = Backwards()
    parallel(executor)
    assert executor.ended == [3, 2, 1, 0]
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()
    assert not Path("many.pfnr.sessions").exists()
    results = [json.loads(Path(f"{name}.json").read_text())["sessions"] for name in ("many", "whole")]
    for row in results[0] + results[1]:
        assert row.pop("seconds") > 0
    assert results[0] == results[1]


def test_a_failed_session_leaves_the_others_and_the_next_run_goes_on(folder: Path) -> None:
    def fail_first(work: Work) -> None:
        if work.key == 1:
            Path("v1.mkv").rename("away.mkv")

    executor = Backwards(fail_first)
    with pytest.raises(FailedSessionsError) as caught:
        parallel(executor)
    text = str(caught.value)
    assert text.startswith("1 of 4 sessions failed (v1: clip ")
    assert "v1.mkv is not seen here; it must be where all workers see it)" in text
    assert "many.pfnr holds the first 1, many.pfnr.sessions 2 more that are trained: run this again" in text
    assert [s.record.video.name for s in read_library(Path("many.pfnr")).summaries()] == ["v0"]
    Path("away.mkv").rename("v1.mkv")
    again = Backwards()
    parallel(again)
    assert again.ended == [3, 2, 1]
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()


def test_a_worker_that_dies_in_the_middle_is_gone_on_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, steps = SessionTraining.step, []

    def step(self: SessionTraining, batch: object) -> object:
        if len(steps) == 6:
            steps.append("dead")
            raise PfnrError("killed")
        steps.append(self.step_count)
        return honest(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionTraining, "step", step)
    with pytest.raises(FailedSessionsError, match="v2: killed"):
        parallel(Backwards())
    assert Path("many.pfnr.sessions/2.training").exists()
    parallel(Backwards())
    assert len([s for s in steps if s != "dead"]) == 4 * 4  # no step twice
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()


def test_a_session_that_is_trained_is_not_trained_again_unless_something_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("v0.mkv").rename("away.mkv")
    Path("v0.mkv").write_bytes(Path("away.mkv").read_bytes())
    honest = SequenceRun.take_on

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SequenceRun, "take_on", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parallel(Backwards())
    monkeypatch.setattr(SequenceRun, "take_on", honest)
    monkeypatch.setattr(task.SessionJob, "run", interrupted)
    Path("many.pfnr").unlink()
    parallel(Backwards())  # all are there
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()


def test_progress_of_every_session_is_shown(folder: Path) -> None:
    shown: list[list[Row]] = []
    parallel(Backwards(), shown)
    assert [row.state for row in shown[-1]] == ["joined"] * 4
    assert all(row.psnr for row in shown[-1])


def test_damage_in_the_working_folder_is_found(folder: Path) -> None:
    def spoil(work: Work) -> None:
        for file in Path("many.pfnr.sessions").glob("*.session"):
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)

    with pytest.raises(LibraryError):
        parallel(Backwards(spoil))


def test_a_store_that_fills_up_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "2.session":
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, data)

    monkeypatch.setattr(task, "write_atomically", full)
    with pytest.raises(FailedSessionsError, match=r"\(v2: .*2.session: the disk is full") as caught:
        parallel(Backwards())
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    parallel(Backwards())
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()


def test_two_runs_on_one_library_are_refused(folder: Path) -> None:
    with lock_library(Path("many.pfnr")):
        done = run_here("pfnr-train", "run", "many.toml", "--data", ".", "--jobs", 2)
    assert done.code == 1
    assert "many.pfnr is locked: process " in done.error


def test_shared_values_and_contradictions_are_refused(folder: Path) -> None:
    make_sequence(folder, 4, recipe="shared")
    with pytest.raises(UsageError, match="sessions that share values are trained one after another"):
        parallel(Backwards())
    for arguments, says in (
        (("--jobs", 0), "--jobs 0 is outside 1 to 256"),
        (("--jobs", 2, "--tensorboard", "t"), "--tensorboard shows one session at a time"),
        (("--jobs", 2, "--ray", "auto"), "--jobs is for this machine; the cluster at auto"),
    ):
        done = run_here("pfnr-train", "run", "many.toml", "--data", ".", *arguments)
        assert (done.code, says in done.error) == (2, True), done.stderr


def test_a_child_waits_for_its_parent_and_is_stored_as_differences_from_it(folder: Path) -> None:
    make_sequence(folder, 2, {1: 0}, "default")
    Path("whole.json").unlink()
    sequential(folder / "family.pfnr")
    executor = Backwards()
    parallel(executor)
    assert executor.ended == [0, 1]
    assert Path("many.pfnr").read_bytes() == Path("family.pfnr").read_bytes()
    make_sequence(folder, 3, {1: 0, 2: 0}, "default")
    Path("v0.mkv").rename("away.mkv")  # its session is in the library
    Path("v0.mkv").symlink_to("away.mkv")
    Path("v2.mkv").unlink()
    with pytest.raises(PfnrError, match=r"missing in \.: v2"):
        parallel(Backwards())


def test_what_needs_a_failed_parent_is_not_trained(folder: Path) -> None:
    make_sequence(folder, 2, {1: 0}, "default")

    def lose(work: Work) -> None:
        Path("v0.mkv").unlink()

    with pytest.raises(FailedSessionsError, match=r"2 of 2 sessions failed \(v0: .*; v1: its parent v0 failed\)"):
        parallel(Backwards(lose))
    assert not Path("many.pfnr").exists()


def test_parents_that_cannot_be_are_refused(folder: Path) -> None:
    text = make_sequence(folder, 4, {3: 1}, "default").read_text()
    for change, says in (
        (('parent = "v1"', 'parent = "v3"'), "video 'v3': its parent 'v3' is no earlier video"),
        (('parent = "v1"', 'parent = "w"'), "video 'v3': its parent 'w' is no earlier video"),
        (('name = "default"', 'name = "shared"'), "shared values have no parent"),
    ):
        Path("many.toml").write_text(text.replace(*change))
        with pytest.raises(UsageError, match=says):
            read_sequence(Path("many.toml"))
