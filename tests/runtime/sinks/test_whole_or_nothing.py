"""A file appears under its name only when it is whole, whatever happens while it is written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import ANY

import av
import numpy as np
import pytest
from helpers.commands import Run, command_line, environment
from helpers.disks import small_disk_at
from helpers.tiny_artifacts import contract, model_of, picture_table, save, video
from numpy.typing import NDArray
from onnx import helper

from pfnr_runtime.errors import SinkError
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.system.part_file import PartFile
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.metrics import psnr

NOISE = np.random.default_rng(0).integers(0, 256, (300, 36, 64, 3), dtype=np.uint8)


def write(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    with open_sink(str(path), video(frames=len(pictures)), len(pictures)) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, i, i / 25, 0.04))


@pytest.fixture(scope="session")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few kilobytes that decode to 20,000 frames of 1280×720: minutes of work."""
    record = video(frames=20_000, width=1280, height=720)
    tensors = {
        "small": NOISE[:1, :9, :16],
        "zero": np.array(0, np.int64),
        "tiles": np.array([1, 80, 80, 1], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["frame_index", "zero"], ["first"]),
        helper.make_node("Gather", ["small", "first"], ["tile"]),
        helper.make_node("Tile", ["tile", "tiles"], ["frames"]),
    ]
    path = tmp_path_factory.mktemp("artifacts") / "long.onnx"
    return save(model_of(nodes, tensors, contract(record)), path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on its own disk of 600 kB, where this process may mount one."""
    with small_disk_at(tmp_path / "disk", "600k") as folder:
        yield folder


def stop_decoding(name: str, number: signal.Signals, long_file: Path, tmp_path: Path) -> tuple[int, str]:
    """Exit code and messages of a decoder that is sent a signal in the middle."""
    process = subprocess.Popen(
        command_line("decode", long_file, tmp_path / name),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(p.name.endswith(".part") and p.stat().st_size for p in tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not (tmp_path / name).exists()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, stderr


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.y4m"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_interrupts_it_no_half_file_is_left(
    name: str, number: signal.Signals, long_file: Path, tmp_path: Path
) -> None:
    code, stderr = stop_decoding(name, number, long_file, tmp_path)
    assert code == 130
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_what_a_kill_leaves_is_removed_by_whoever_writes_that_name_next(
    name: str, long_file: Path, tmp_path: Path
) -> None:
    assert stop_decoding(name, signal.SIGKILL, long_file, tmp_path) == (-signal.SIGKILL, ANY)
    assert any(path.suffix in (".part", ".reserve") for path in tmp_path.iterdir())
    write(tmp_path / name, [picture_table()[0]])
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_already_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.y4m"
    path.write_text("old")
    with pytest.raises(ValueError, match="frame of"):
        write(path, [picture_table()[0], picture_table()[0, :5]])
    assert path.read_text() == "old"
    with open_sink(str(path), video(), 1) as sink:
        sink.write(Frame(picture_table()[0], 0, 0.0, 0.04))
        assert path.read_text() == "old"
    assert path.read_bytes().startswith(b"YUV4MPEG2")
    assert [p.name for p in tmp_path.iterdir()] == ["out.y4m"]


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    link.symlink_to(target)
    file = PartFile(link)
    file.write(b"new")
    file.commit()
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    file = PartFile(tmp_path / "ours")
    file.commit()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_device_that_is_full_is_one_line(table_file: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "out.y4m").symlink_to("/dev/full")
    done = run("decode", table_file, tmp_path / "out.y4m", "--quiet")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {tmp_path}/out.y4m: the disk is full; free some space and run the command again"
    ]
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["out.y4m", "out.mkv"])
def test_a_file_size_limit_is_one_line_and_leaves_nothing(
    name: str, long_file: Path, tmp_path: Path, run: Run
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = run("decode", long_file, tmp_path / name, "--frames", "0:400", "--quiet", preexec_fn=limit)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{tmp_path / name}: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_takes_y4m_as_it_comes(table_file: Path, tmp_path: Path, run: Run) -> None:
    pipe = tmp_path / "pipe.y4m"
    os.mkfifo(pipe)
    reader = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(len(open(sys.argv[1], 'rb').read()))", pipe],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run("decode", table_file, pipe).returncode == 0
    assert int(reader.communicate(timeout=60)[0]) > 12 * 64 * 36 * 3 // 2
    assert pipe.is_fifo()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_was_written_when_the_disk_fills_up_plays(suffix: str, small_disk: Path) -> None:
    path = small_disk / f"out.{suffix}"
    with pytest.raises(SinkError, match=r"the disk is full.*first .* frames are kept in") as caught:
        write(path, NOISE)
    kept = small_disk / f"out.partial.{suffix}"
    assert str(kept) in str(caught.value)
    assert [p.name for p in small_disk.iterdir()] == [kept.name]
    with av.open(str(kept)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert 5 < len(frames) < len(NOISE)
    grey = picture_table(video(frames=1))[0]
    for frame, picture in zip(frames, NOISE, strict=False):
        assert psnr(frame, picture) > psnr(frame, grey)


@pytest.mark.parametrize("name", ["out.y4m", "%05d.png"])
def test_a_full_disk_ends_other_sinks_in_one_line(name: str, small_disk: Path) -> None:
    with pytest.raises(SinkError, match="the disk is full"):
        write(small_disk / name, NOISE)
    left = sorted(p.name for p in small_disk.iterdir())
    assert left == [f"{i:05d}.png" for i in range(len(left))]
    for path in small_disk.iterdir():
        with av.open(str(path)) as image:
            assert (next(image.decode(video=0)).to_ndarray(format="rgb24") == NOISE[int(path.stem)]).all()


def test_a_disk_too_full_to_begin_is_one_line(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(500_000))
    with pytest.raises(SinkError, match=r"out\.mp4: the disk is full"):
        open_sink(str(small_disk / "out.mp4"), video(), 12)
    assert [p.name for p in small_disk.iterdir()] == ["filler"]
