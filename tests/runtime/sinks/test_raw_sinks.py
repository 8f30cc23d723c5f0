"""Raw frames and pipes: the bytes are the frames, through a real pipe and with a real reader."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run, command_line, environment
from helpers.tiny_artifacts import picture_table, save, table_model, video

from pfnr_runtime.sinks.ycbcr import planes, to_ycbcr
from pfnr_runtime.video.record import Colour
from runtime.sinks.test_sinks import COLOURS, luma, patches, write

# Reads a film from its standard input as any FFmpeg tool does; prints how many frames of which size and rate,
# and the greatest difference to the samples in a file.
READER = """
import sys, av, numpy as np
options = dict(word.split("=") for word in sys.argv[3:])
with av.open(sys.stdin.buffer, format=sys.argv[1], options=options) as container:
    stream = container.streams.video[0]
    frames = [frame.to_ndarray() for frame in container.decode(stream)]
expected = np.load(sys.argv[2])
print(len(frames), stream.codec_context.format.name, stream.width, stream.height, stream.base_rate,
      np.abs(np.stack(frames).astype(int).reshape(expected.shape) - expected).max())
"""


def piped(artifact: Path, out: str, reader: list[str]) -> tuple[int, str, str]:
    """pfnr-decode ARTIFACT OUT | READER: our exit code and stderr, the reader's stdout."""
    writer = subprocess.Popen(
        [*command_line("decode", artifact, out), "--quiet"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=False,
    )
    with subprocess.Popen(reader, stdin=writer.stdout, stdout=subprocess.PIPE, text=True) as reading:
        writer.stdout.close()
        said = reading.communicate(timeout=60)[0]
    with writer.stderr:
        complaint = writer.stderr.read().decode()
    return writer.wait(timeout=60), complaint, said


@pytest.mark.parametrize(
    ("out", "size"), [("-", (64, 36)), ("rgb24:-", (64, 36)), ("rgb24:-", (63, 35)), ("yuv420p:-", (64, 36))]
)
def test_a_reader_at_the_other_end_of_a_pipe_gets_every_frame(
    out: str, size: tuple[int, int], tmp_path: Path
) -> None:
    record = video(width=size[0], height=size[1])
    artifact = save(table_model(record), tmp_path / "table.onnx")
    table = picture_table(record)
    raw = out.partition(":")[0]
    pictures = [table[i] for i in range(len(table))]
    if raw != "rgb24":
        parts = [planes(to_ycbcr(picture, record.colour, "yuv420p")) for picture in pictures]
        pictures = [np.concatenate([plane.reshape(-1) for plane in part]) for part in parts]
    np.save(tmp_path / "expected.npy", np.stack(pictures))
    how = [f"pixel_format={raw}", f"video_size={size[0]}x{size[1]}", "framerate=25/1"] if raw != "-" else []
    reader = [
        sys.executable,
        "-c",
        READER,
        "rawvideo" if how else "yuv4mpegpipe",
        str(tmp_path / "expected.npy"),
        *how,
    ]
    code, complaint, said = piped(artifact, out, reader)
    pixel_format = "rgb24" if raw == "rgb24" else "yuv420p"
    assert (code, complaint, said.split()) == (0, "", ["12", pixel_format, *map(str, size), "25", "0"])


@pytest.mark.parametrize("name", ["out.rgb", "rgb24:out.bin"])
def test_raw_rgb_is_the_frames_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(name, video(), picture_table())
    (file,) = tmp_path.iterdir()
    assert file.name == (name.partition(":")[2] or name)
    assert file.read_bytes() == picture_table().tobytes()


@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_raw_yuv_has_the_colours_of_the_record(colour: Colour, tmp_path: Path) -> None:
    record = video(width=64, height=32, frames=2, colour=colour)
    write(tmp_path / "out.yuv", record, patches().repeat(2, axis=0))
    data = np.frombuffer((tmp_path / "out.yuv").read_bytes(), np.uint8).reshape(2, -1)
    assert data.shape[1] == 64 * 32 * 3 // 2
    assert np.abs(data[0, : 64 * 32].reshape(32, 64) - luma(patches()[0], colour)).max() <= 1


def test_the_description_is_what_ffplay_needs(table_file: Path, tmp_path: Path, run: Run) -> None:
    done = run("decode", table_file, tmp_path / "out.rgb")
    assert "-f rawvideo -pixel_format rgb24 -video_size 64x36 -framerate 25" in done.stderr


@pytest.mark.parametrize("out", ["-", "rgb24:-"])
def test_a_reader_that_goes_away_ends_it_quietly(out: str, tmp_path: Path) -> None:
    record = video(frames=400)
    artifact = save(table_model(record), tmp_path / "table.onnx")
    reader = [sys.executable, "-c", "import os; print(len(os.read(0, 10)))"]
    assert piped(artifact, out, reader) == (1, "", "10\n")


def test_a_named_pipe_whose_reader_goes_away_ends_it_quietly(tmp_path: Path, run: Run) -> None:
    artifact = save(table_model(video(frames=400)), tmp_path / "table.onnx")
    pipe = tmp_path / "pipe.y4m"
    os.mkfifo(pipe)
    reader = subprocess.Popen([sys.executable, "-c", "import sys; open(sys.argv[1], 'rb').read(10)", pipe])
    done = run("decode", artifact, pipe, "--quiet")
    assert reader.wait(timeout=60) == 0
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert pipe.is_fifo()


def test_a_full_disk_behind_standard_output_is_one_line(table_file: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*command_line("decode", table_file, "-"), "--quiet"],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "error: -: the disk is full; free some space and run the command again\n"


def test_a_terminal_is_not_sent_frames(table_file: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*command_line("decode", table_file, "-"), "--quiet"],
            env=environment(),
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert "standard output is a terminal" in done.stderr
    assert "| ffplay -" in done.stderr


@pytest.mark.parametrize("out", ["-", "rgb24:-"])
def test_json_and_frames_do_not_share_standard_output(out: str, table_file: Path, run: Run) -> None:
    done = run("decode", table_file, out, "--json", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot both go to standard output" in done.stderr


def test_a_scheme_without_a_file_is_a_usage_error(table_file: Path, run: Run) -> None:
    done = run("decode", table_file, "rgb24:", "--quiet")
    assert done.returncode == 2
    assert "name a file after the colon" in done.stderr
