"""pfnr-play as a person runs it: unseen, with SDL's dummy driver, to files and pipes, and with mistakes."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.commands import Run, command_line, environment, run_code, run_without
from helpers.tiny_artifacts import picture_table, save, table_model, video

TABLE = picture_table()
DIGEST = hashlib.md5(TABLE.tobytes()).hexdigest()
TIMES = {"mean", "median", "p95", "p99", "max"}
SCHEMA = {
    "shown": int,
    "skipped": int,
    "dropped": int,
    "late": int,
    "lost_percent": float,
    "seconds": float,
    "fps": float,
    "decode_ms": dict,
    "present_ms": dict,
    "late_ms": dict,
}


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def dummy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_null_plays_on_time_and_reports_statistics(table_file: Path, run: Run) -> None:
    done = run("play", table_file, "null:", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    statistics = result["statistics"]
    assert {name: type(value) for name, value in statistics.items()} == SCHEMA
    assert all(set(statistics[name]) == TIMES for name in ("decode_ms", "present_ms", "late_ms"))
    assert statistics["shown"] + statistics["skipped"] + statistics["dropped"] == 12
    assert statistics["seconds"] >= 11 / 25 - 0.05  # a clock was kept
    assert (result["out"], result["session"], result["backend"]["name"]) == ("null:", 0, "onnxruntime-cpu")


@pytest.mark.usefixtures("dummy")
@pytest.mark.parametrize("out", [[], ["display://0"], ["display:"]])
def test_a_window_plays_to_the_end(out: list[str], table_file: Path, run: Run) -> None:
    done = run("play", table_file, *out, "--untimed", "--stats", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statistics"]["shown"] == 12
    assert "shown 12, skipped 0, dropped 0" in done.stderr


def test_frame_times_are_a_line_a_frame(table_file: Path, tmp_path: Path, run: Run) -> None:
    done = run("play", table_file, "null:", "--untimed", "--frametimes", tmp_path / "times.csv", "--start", "2f")
    assert done.returncode == 0
    with (tmp_path / "times.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(2, 12))
    assert list(rows[0]) == ["shown_s", "session", "frame", "skipped", "dropped", "decode_ms", "late_ms"]
    times = [float(row["shown_s"]) for row in rows]
    assert times == sorted(times)
    assert times[0] == 0
    assert all(float(row["decode_ms"]) > 0 for row in rows)


def test_ctrl_c_keeps_the_frame_times_and_exits_with_130(table_file: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command_line("play", table_file, "null:", "--loop", "--frametimes", tmp_path / "times.csv"),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 300 for p in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted"
    lines = (tmp_path / "times.csv").read_text().splitlines()
    assert len(lines) > 3
    assert all(line.count(",") == 6 for line in lines)
    assert [p.name for p in tmp_path.iterdir()] == ["times.csv"]


def test_a_file_takes_every_frame_at_the_rate_that_was_asked_for(
    table_file: Path, tmp_path: Path, run: Run
) -> None:
    done = run("play", table_file, tmp_path / "out.mp4", "--fps", "30000/1001", "--speed", "2", "--end", "10f")
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert len(list(container.decode(stream))) == 10
        assert stream.average_rate == Fraction(60000, 1001)


@pytest.mark.parametrize("codec", ["hevc", "av1", "ffv1"])
def test_the_codec_of_a_file_can_be_chosen(codec: str, table_file: Path, tmp_path: Path, run: Run) -> None:
    assert run("play", table_file, tmp_path / "out.mkv", "--codec", codec).returncode == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert codec in container.streams.video[0].codec_context.name.replace("libdav1d", "av1")


def test_md5_is_that_of_the_frames(table_file: Path, run: Run) -> None:
    done = run("play", table_file, "md5:", "--quiet")
    assert (done.stdout, done.stderr) == (f"MD5={DIGEST}\n", "")
    assert json.loads(run("play", table_file, "md5:", "--quiet", "--json").stdout)["md5"] == DIGEST


def test_a_pipe_can_loop_until_its_reader_has_enough(tmp_path: Path) -> None:
    artifact = save(table_model(), tmp_path / "table.onnx")
    size = TABLE[0].size
    writer = subprocess.Popen(
        [*command_line("play", artifact, "rgb24:-", "--loop"), "--quiet"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert writer.stdout is not None
        assert writer.stderr is not None
        data = writer.stdout.read(30 * size)
        writer.stdout.close()
        assert writer.wait(timeout=60) == 1
        assert writer.stderr.read() == b""
        writer.stderr.close()
    finally:
        writer.kill()
    assert data == b"".join(TABLE[i % 12].tobytes() for i in range(30))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 4, "no display"),
        (["display:x"], 2, "write display://N"),
        (["out.avi"], 2, "names no output that pfnr can write"),
        (["null:", "--start", "13f"], 2, "13f is beyond the end of 'tiny', which has 12 frames, 0.48 seconds"),
        (["null:", "--start", "0.48"], 2, "nothing to play from 0.48 to the end"),
        (["null:", "--end", "x"], 2, "write seconds"),
        (["null:", "--speed", "0"], 2, "--speed 0.0 is outside 0.01 to 100"),
        (["null:", "--speed", "nan"], 2, "is outside 0.01 to 100"),
        (["null:", "--fps", "0"], 2, "frame rate '0' is not between 0 and 1000"),
        (["out.mp4", "--fps", "1000", "--speed", "2"], 2, "2000 frames per second is outside 0 to 1000"),
        (["null:", "--session", "3"], 2, "session"),
        (["null:", "--codec", "av1"], 2, "null: takes no --codec"),
        (["null:", "--frametimes", "nowhere/x.csv"], 1, "the folder nowhere does not exist"),
        (["null:", "--screenshots", "nowhere"], 2, "mkdir -p nowhere"),
        (["out.mp4", "--loop"], 2, "--loop would never finish out.mp4"),
        (["md5:", "--loop"], 2, "--loop would never finish md5:"),
        (["out.mp4", "--stats"], 2, "--stats works with a window or null:"),
        (["out.mp4", "--frametimes", "x"], 2, "--frametimes works with a window or null:"),
        (["-", "--json"], 2, "cannot both go to standard output"),
        (["null:", "--backend", "tpu"], 2, "choose auto, "),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, message: str, table_file: Path, tmp_path: Path, run: Run
) -> None:
    done = run("play", table_file, *arguments, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_display_names_the_ways_out(table_file: Path, run: Run) -> None:
    pytest.importorskip("pygame")
    line = run("play", table_file, "--quiet").stderr
    assert "SDL_VIDEODRIVER" in line
    assert "null:" in line


@pytest.mark.usefixtures("dummy")
def test_a_display_that_is_not_there_is_an_error(table_file: Path, run: Run) -> None:
    done = run("play", table_file, "display://7", "--quiet")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert "no display 7: there is 1, numbered from 0" in done.stderr


def test_a_driver_that_sdl_does_not_have_is_an_error(
    table_file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    done = run("play", table_file, "--quiet")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert "nonsense not available" in done.stderr


def test_without_pygame_it_names_the_extra(table_file: Path) -> None:
    done = run_without("pygame", "play", table_file, "-q")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert "pip install 'pfnr[play]'" in done.stderr


def test_playing_unseen_loads_no_window_library(table_file: Path) -> None:
    done = run_code(
        "import sys\n"
        "from pfnr_runtime.commands.play import app\n"
        f"app([{str(table_file)!r}, 'null:', '-q', '--untimed'], standalone_mode=False)\n"
        "assert not {'pygame', 'torch', 'onnx', 'av'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_the_real_command_is_installed() -> None:
    path = Path(sys.executable).with_name("pfnr-play")
    if not path.exists():
        pytest.skip("the package is not installed with this Python")
    done = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert "display://" in done.stdout


def test_a_long_video_can_begin_near_its_end(tmp_path: Path, run: Run) -> None:
    record = video(frames=60, width=16, height=16)
    artifact = save(table_model(record), tmp_path / "long.onnx")
    done = run("play", artifact, "md5:", "--start", "0:02.2", "--quiet")
    expected = hashlib.md5(picture_table(record)[55:].tobytes()).hexdigest()
    assert done.stdout == f"MD5={expected}\n"
