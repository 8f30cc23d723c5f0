"""pfnr-decode and pfnr-inspect as a person runs them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import Run
from helpers.tiny_artifacts import picture_table

TABLE = picture_table()
DIGEST = hashlib.md5(TABLE.tobytes()).hexdigest()


def test_md5_goes_to_stdout_and_the_rest_to_stderr(table_file: Path, run: Run) -> None:
    done = run("decode", table_file, "md5:")
    assert (done.returncode, done.stdout) == (0, f"MD5={DIGEST}\n")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("decoding with onnxruntime-cpu (")
    assert lines[-1].startswith("12 frames in ")
    assert lines[-1].endswith("→ md5:")


@pytest.mark.parametrize("command", ["decode", "play"])
def test_why_not_another_engine_is_told_where_it_is_asked_for(command: str, table_file: Path, run: Run) -> None:
    lines = run(command, table_file, "md5:", "--threads", "1").stderr.splitlines()
    assert (
        lines[0]
        == "decoding with onnxruntime-cpu (1 thread); run pfnr-doctor to see why other engines are unavailable"
    )
    assert not any(line.startswith("  not ") for line in lines)
    told = run(command, table_file, "md5:", "--verbose").stderr
    assert "onnxruntime-cpu: ONNX Runtime" in told
    assert "\n  not tensorrt: " in told


def test_json_is_the_whole_of_stdout(table_file: Path, run: Run) -> None:
    done = run("decode", table_file, "md5:", "--json", "--quiet", "--threads", "1", "--batch", "5")
    result = json.loads(done.stdout)
    assert done.stderr == ""
    assert (result["frames"], result["md5"], result["out"]) == (12, DIGEST, "md5:")
    assert "1 thread," in result["backend"]["description"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.y4m"])
def test_a_film_is_written(name: str, table_file: Path, tmp_path: Path, run: Run) -> None:
    done = run("decode", table_file, tmp_path / name, "--frames", "2:11:2")
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / name)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_images_are_numbered_by_frame(table_file: Path, tmp_path: Path, run: Run) -> None:
    assert run("decode", table_file, tmp_path / "%05d.png", "--frames", "-2:").returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00010.png", "00011.png"]
    with av.open(str(tmp_path / "00011.png")) as image:
        back = next(image.decode(video=0)).to_ndarray(format="rgb24")
    assert (back == TABLE[11]).all()


def test_one_frame_needs_no_number(table_file: Path, tmp_path: Path, run: Run) -> None:
    assert run("decode", table_file, "one.png", "--frames", "3:4", cwd=tmp_path).returncode == 0
    assert (tmp_path / "one.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["TABLE", "out.avi"], 2, "names no output that pfnr can write; use one of"),
        (["TABLE", "md5:", "--frames", "7"], 2, "write 7:8"),
        (["TABLE", "md5:", "--frames", "0:13"], 2, "frames 0:12"),
        (["TABLE", "md5:", "--backend", "tpu"], 2, "choose auto, "),
        (["TABLE", "md5:", "--threads", "0"], 2, "0 threads is outside"),
        (["TABLE", "md5:", "--batch", "0"], 2, "--batch 0 must be 1 or more"),
        (
            ["TABLE", "nowhere/out.mp4"],
            1,
            "the folder nowhere does not exist; make it first: mkdir -p nowhere",
        ),
        (["TABLE", "nowhere/%d.png"], 1, "the folder nowhere does not exist"),
        (["missing.onnx", "md5:"], 1, "missing.onnx: no such file"),
        (["cut.onnx", "md5:"], 1, "cut.onnx: not an ONNX file, or a damaged one"),
        (["library.pfnr", "md5:"], 1, "this is a library; export one of its videos first"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, message: str, table_file: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "cut.onnx").write_bytes(table_file.read_bytes()[:5000])
    words = [str(table_file) if word == "TABLE" else word for word in arguments]
    done = run("decode", *words, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["cut.onnx"]


@pytest.mark.parametrize("command", ["decode", "inspect"])
def test_help_and_usage(command: str, run: Run) -> None:
    assert "ARTIFACT" in run(command, "--help").stdout.upper()
    assert run(command, "--nonsense").returncode == 2
    assert run(command).returncode == 2


def test_inspect_shows_what_is_inside(conv_file: Path, run: Run) -> None:
    done = run("inspect", conv_file)
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "tiny: 12 frames, 64×36, 25 fps",
        "frame_index: int64 [B]",
        "frames: uint8 [B, 36, 64, 3]",
        "2 DepthToSpace",
        "float32 [160, 1152] fc",
        hashlib.sha256(conv_file.read_bytes()).hexdigest(),
    ):
        assert text in done.stdout


def test_inspect_as_json(conv_file: Path, run: Run) -> None:
    result = json.loads(run("inspect", conv_file, "--json").stdout)
    assert result["bytes"] == conv_file.stat().st_size
    assert result["contract"]["video"]["fps"] == "25/1"
    assert result["tensors"][0] == {
        "name": "fc",
        "dtype": "float32",
        "shape": [160, 1152],
        "bytes": 160 * 1152 * 4,
    }
    assert result["weights_bytes"] == sum(t["bytes"] for t in result["tensors"])
    assert np.prod(result["outputs"][0]["shape"][1:]) == 36 * 64 * 3


def test_inspect_names_what_is_wrong(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.onnx").touch()
    done = run("inspect", "empty.onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: empty.onnx: the file is empty; export or copy it again\n"
