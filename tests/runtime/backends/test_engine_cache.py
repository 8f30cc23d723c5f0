"""Engines are built once, kept for their owner alone, and never believed when anything is off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT

from pfnr_runtime.backends.trt.engine_cache import EngineCache, default_folder
from pfnr_runtime.errors import BackendError

KEY = {"artifact": "a" * 64, "library": "none 1.0", "device": "none", "options": {"max_batch": 1}}


class Builder:
    """Counts how often it is asked, and gives other bytes each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[bytes, dict[str, Any]]:
        self.times += 1
        return b"engine %d" % self.times * 100, {"seconds": 1.5}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "pfnr" / "engines")


def test_an_engine_is_built_once_and_then_read(cache: EngineCache) -> None:
    build = Builder()
    first, second = cache.get(KEY, build), cache.get(KEY, build)
    assert build.times == 1
    assert first.data == second.data
    assert (first.fresh, second.fresh) == (True, False)
    assert second.notes == {"seconds": 1.5}


@pytest.mark.parametrize("field", list(KEY))
def test_any_difference_in_the_key_is_another_engine(cache: EngineCache, field: str) -> None:
    build = Builder()
    cache.get(KEY, build)
    cache.get({**KEY, field: "another"}, build)
    assert build.times == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda engine, sidecar: engine.write_bytes(engine.read_bytes()[:-1]),
        lambda engine, sidecar: engine.write_bytes(b"X" + engine.read_bytes()[1:]),
        lambda engine, sidecar: engine.unlink(),
        lambda engine, sidecar: sidecar.unlink(),
        lambda engine, sidecar: sidecar.write_text("{"),
        lambda engine, sidecar: sidecar.write_text("[" * 100_000),
        lambda engine, sidecar: sidecar.write_text("[]"),
        lambda engine, sidecar: sidecar.write_text(sidecar.read_text().replace('"max_batch":1', '"max_batch":2')),
        lambda engine, sidecar: sidecar.write_text(sidecar.read_text().replace('"format":1', '"format":9')),
        lambda engine, sidecar: (engine.rename(engine.with_name("moved")), engine.symlink_to("moved")),
    ],
    ids=[
        "cut",
        "changed",
        "gone",
        "no-sidecar",
        "cut-sidecar",
        "nested",
        "wrong-type",
        "other-key",
        "other-format",
        "link",
    ],
)
def test_a_damaged_or_stale_entry_is_built_again(cache: EngineCache, damage: Any) -> None:
    build = Builder()
    path = cache.get(KEY, build).path
    damage(path, path.with_name(path.name + ".json"))
    assert cache.read("engine", KEY) is None
    again = cache.get(KEY, build)
    assert build.times == 2
    assert cache.get(KEY, build).data == again.data
    assert build.times == 2


def test_only_its_owner_may_enter_the_folder(cache: EngineCache) -> None:
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    cache.folder.chmod(0o777)
    EngineCache(cache.folder)
    assert cache.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir(mode=0o777)
    os.chown(folder, 12345, 12345)
    with pytest.raises(BackendError, match="belongs to another user") as caught:
        EngineCache(folder)
    assert caught.value.exit_code == 4


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file to another user")
def test_an_engine_of_another_user_is_not_believed(cache: EngineCache) -> None:
    os.chown(cache.get(KEY, Builder()).path, 12345, 12345)
    assert cache.read("engine", KEY) is None


def test_a_folder_that_cannot_be_made_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file" / "engines")


def test_the_folder_is_where_caches_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "pfnr" / "engines"
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert default_folder() == Path.home() / ".cache" / "pfnr" / "engines"


def test_a_failed_build_keeps_nothing_and_the_next_one_builds(cache: EngineCache) -> None:
    def fail() -> tuple[bytes, dict[str, Any]]:
        raise BackendError("out of memory")

    with pytest.raises(BackendError):
        cache.get(KEY, fail)
    assert cache.read("engine", KEY) is None
    assert cache.get(KEY, Builder()).fresh


PROCESS = """
import sys, time
from pathlib import Path
from pfnr_runtime.backends.trt.engine_cache import EngineCache
folder, marks, go = map(Path, sys.argv[1:])
def build():
    import os
    (marks / f"built-{os.getpid()}").touch()
    while not go.exists():
        time.sleep(0.01)
    return b"engine" * 200_000, {}
def waiting(path):
    print("waiting", flush=True)
print("started", flush=True)
entry = EngineCache(folder).get({"artifact": "one"}, build, waiting=waiting)
print(len(entry.data), entry.fresh, flush=True)
"""


def process(folder: Path, marks: Path, go: Path) -> subprocess.Popen[str]:
    """A process that wants one engine, and, if it builds it, is done when `go` exists."""
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(marks), str(go)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_build(marks: Path, count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(list(marks.iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def lines_of(started: subprocess.Popen[str], count: int) -> list[str]:
    assert started.stdout is not None
    return [started.stdout.readline().strip() for _ in range(count)]


def test_two_processes_at_once_build_once(tmp_path: Path, marks: Path) -> None:
    go = tmp_path / "go"
    first = process(tmp_path / "engines", marks, go)
    wait_for_build(marks)
    second = process(tmp_path / "engines", marks, go)
    assert lines_of(second, 2) == ["started", "waiting"]
    go.touch()
    assert first.communicate(timeout=60)[0] == "started\n1200000 True\n"
    assert second.communicate(timeout=60)[0] == "1200000 False\n"
    assert len(list(marks.iterdir())) == 1


def test_a_killed_builder_leaves_nothing_and_its_successor_builds(tmp_path: Path, marks: Path) -> None:
    go = tmp_path / "go"
    first = process(tmp_path / "engines", marks, go)
    wait_for_build(marks)
    second = process(tmp_path / "engines", marks, go)
    assert lines_of(second, 2) == ["started", "waiting"]
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    go.touch()
    assert second.communicate(timeout=60)[0] == "1200000 True\n"


WRITER = """
import sys
from pathlib import Path
from pfnr_runtime.backends.trt.engine_cache import EngineCache
cache, turn = EngineCache(Path(sys.argv[1])), 0
while True:
    turn += 1
    cache.write("engine", {"artifact": "one"}, bytes([turn % 256]) * 3_000_000, {"turn": turn % 256})
    print(turn, flush=True)
"""


def test_killed_while_writing_an_entry_is_whole_or_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    for delay in (0.0, 0.003, 0.011):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        entry = EngineCache(folder).read("engine", {"artifact": "one"})
        assert entry is None or entry.data == bytes([entry.notes["turn"]]) * 3_000_000
        rebuilt = EngineCache(folder).get({"artifact": "one"}, lambda: (b"new", {}))
        assert rebuilt.data in (b"new", entry.data if entry else b"new")
        cache = EngineCache(folder)
        cache.drop({"artifact": "one"})
        assert cache.get({"artifact": "one"}, lambda: (b"new", {})).fresh
        assert not [path for path in folder.iterdir() if path.suffix == ".part"], "leftovers are swept"
