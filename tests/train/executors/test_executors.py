"""Executors: workers that die are started again, errors become words, what cannot run is one line."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.many_sessions import make_sequence
from helpers.running import run_here

from pfnr_runtime.errors import BackendError, ClipError, UsageError
from pfnr_train.executors import ray as ray_module
from pfnr_train.executors.base import ATTEMPTS, Done, Executor, Work, machine_version, run_work
from pfnr_train.executors.choose import choose_executor
from pfnr_train.executors.local import LocalExecutor


@dataclass(frozen=True)
class Errand:
    """Die so many times, counted in a file, and then give its name."""

    file: Path
    deaths: int


def errand(argument: Errand) -> str:
    with argument.file.open("a") as file:
        file.write("x")
    if argument.file.stat().st_size <= argument.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return argument.file.name


def refuse(argument: str) -> None:
    raise ClipError(argument)


def sleep(argument: Path) -> None:
    argument.write_text(str(os.getpid()))
    time.sleep(60)


def ended(executor: Executor, count: int) -> dict[int, Done]:
    found: dict[int, Done] = {}
    while len(found) < count:
        if (done := executor.next(60.0)) is not None:
            found[done.key] = done
    return found


def test_a_worker_that_dies_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    with LocalExecutor(2) as executor:
        for key, deaths in enumerate((0, 1, ATTEMPTS - 1, ATTEMPTS)):
            executor.submit(Work(key, errand, Errand(tmp_path / str(key), deaths)))
        executor.submit(Work(4, refuse, "no such clip"))
        found = ended(executor, 5)
    assert [found[key].value for key in range(3)] == ["0", "1", "2"]
    assert found[3].error == f"its worker died {ATTEMPTS} times, at last by SIGKILL"
    assert (found[4].error, found[4].code, found[4].value) == ("no such clip", 1, None)


def test_nothing_runs_after_the_block(tmp_path: Path) -> None:
    with LocalExecutor(1) as executor:
        executor.submit(Work(0, sleep, tmp_path / "pid"))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_worker_of_other_versions_refuses_the_work() -> None:
    done = run_work(refuse, "clip", 7, "pfnr 99.0 and Python 3.99")
    assert done.key == 7
    assert done.error == (
        f"this worker has {machine_version()}, and the run was started with pfnr 99.0 and Python 3.99; "
        "install the same everywhere"
    )


def test_file_system_errors_become_words(tmp_path: Path) -> None:
    def full(argument: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    done = run_work(full, None, 0, machine_version())
    assert done.error == f"{tmp_path}: the disk is full; free some space and run the command again"


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_sequence(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_here("pfnr-train", "run", "many.toml", "--data", ".", "--ray", "local")
    assert (done.code, "pip install 'pfnr[ray]'" in done.error) == (4, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["many.toml", "v0.mkv"]


@pytest.mark.parametrize(
    "error", [ConnectionError("no\nanswer"), RuntimeError("Version mismatch"), ValueError("x")]
)
def test_a_cluster_that_cannot_be_joined_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="pip install 'pfnr[ray]'")

    monkeypatch.setattr(ray_module, "_require_answer", lambda address: None)

    def init(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(BackendError, match=r"the Ray cluster at 10\.0\.0\.1:6379 cannot be joined") as caught:
        ray_module.RayExecutor("10.0.0.1:6379")
    assert "\n" not in str(caught.value)


def test_an_address_where_nobody_listens_is_one_line_at_once() -> None:
    pytest.importorskip("ray", reason="pip install 'pfnr[ray]'")
    with pytest.raises(BackendError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be joined \(.*refused\)"):
        ray_module.RayExecutor("127.0.0.1:1")


def test_options_that_cannot_be() -> None:
    for jobs, address in ((0, None), (1000, None), (2, "auto")):
        with pytest.raises(UsageError, match="`jobs"):
            choose_executor(jobs, address)
