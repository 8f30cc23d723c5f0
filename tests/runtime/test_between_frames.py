"""Artifacts of continuous time: the same frames at whole numbers, pictures between them, slow motion."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.tiny_artifacts import EMBEDDING, FRAMES, between_frames, between_model, contract, save
from typer.testing import CliRunner

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.backends import open_backend
from pfnr_runtime.commands import decode, inspect, play
from pfnr_runtime.errors import ArtifactError, UsageError
from pfnr_runtime.playback.slow_motion import SlowMotion
from pfnr_runtime.video.time_table import TimeEmbedding

SLOW = [min(i / 4, FRAMES - 1) for i in range(4 * FRAMES)]


@pytest.fixture(scope="module")
def between_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(between_model(), tmp_path_factory.mktemp("artifacts") / "between.onnx")


def run(command: Any, *arguments: object) -> Any:
    """A command as a person runs it, in this process: it is quick, and other tests start real ones."""
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def near(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for samples on the edge between two steps."""
    difference = np.abs(found.astype(int) - expected)
    return bool(difference.max() <= 1 and np.count_nonzero(difference) < 1e-3 * difference.size)


def test_whole_frames_and_pictures_between_them(between_file: Path) -> None:
    with VideoDecoder(between_file, threads=1) as decoder:
        assert near(decoder[:].data, between_frames(list(range(FRAMES))))
        places = [3.25, 0.0, 10.999, 11.0, 3.25]
        batch = decoder.get_frames_at_positions(places)
        assert near(batch.data, between_frames(places))
        assert batch.indices.tolist() == [3, 0, 10, 11, 3]
        assert batch.pts_seconds.tolist() == [0.13, 0.0, 10.999 / 25, 0.44, 0.13]
        assert batch.duration_seconds == pytest.approx([0.03, 0.04, 0.001 / 25, 0.04, 0.03])
        one = decoder.get_frame_at_position(3.25)
        assert (one.data == batch.data[0]).all()
        assert (decoder.get_frame_at_position(7).data == decoder[7].data).all()
        assert not (one.data == decoder[3].data).all()
        assert len(decoder.get_frames_at_positions([])) == 0
        parts = list(decoder.iter_positions(places, batch_size=2))
        assert [len(part) for part in parts] == [2, 2, 1]
        assert (np.concatenate([part.data for part in parts]) == batch.data).all()


@pytest.mark.parametrize("position", [-0.25, 11.01, float("nan"), float("inf")])
def test_there_is_nothing_outside_the_video(between_file: Path, position: float) -> None:
    with VideoDecoder(between_file) as decoder, pytest.raises(IndexError, match=r"is outside 0 to 11 of 'tiny'"):
        decoder.get_frame_at_position(position)


def test_an_artifact_of_whole_frames_says_how_to_get_the_rest(table_file: Path) -> None:
    says = "decodes whole frames only; export it again with pfnr-export --time continuous"
    with VideoDecoder(table_file) as decoder:
        for ask in (decoder.get_frame_at_position, lambda p: SlowMotion(decoder, 2)):
            with pytest.raises(UsageError, match=says):
                ask(1.5)
        backend, _ = open_backend(decoder.artifact, "onnxruntime-cpu")
        with backend, pytest.raises(ValueError, match=r"must be int64 \[B\], not float64"):
            backend.decode(np.array([1.5]))


def test_the_contract_states_the_time_and_reads_it_back() -> None:
    continuous = contract(time_embedding=EMBEDDING)
    assert ArtifactContract.from_json(continuous.to_json()) == continuous
    assert (continuous.input.name, continuous.input.row) == ("time_embedding", (EMBEDDING.width,))
    assert "time_embedding" not in contract().to_json()
    with pytest.raises(ValueError, match="of kind 'session' decodes whole frames only"):
        contract(time_embedding=EMBEDDING, kind="session")
    for wrong, says in (
        ({"base": 1.0}, "base 1.0 is outside"),
        ({"levels": 0}, "0 embedding levels"),
        ({"levels": 2.5}, "levels must be int"),
        ({"scalar": -1}, "scalar -1 is outside"),
        ({"more": 1}, "unknown more"),
    ):
        value = continuous.to_json()
        value["time_embedding"] |= wrong
        with pytest.raises(ValueError, match=says):
            ArtifactContract.from_json(value)


def test_rows_are_the_time_tables_own() -> None:
    from pfnr_runtime.video.time_table import time_table

    embedding = TimeEmbedding(1.25, 40, 0.625)
    table = time_table(132, 0.625, 1.25, 40).astype(np.float32)
    assert np.array_equal(embedding.rows(np.arange(132), 132), table)
    assert np.array_equal(embedding.rows(np.array([77.0]), 132)[0], table[77])


def test_an_input_that_is_not_the_contracts_is_refused(tmp_path: Path) -> None:
    model = between_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 12
    with pytest.raises(ArtifactError, match=r"time_embedding: float32 \[B, 16\] with a dynamic batch is needed"):
        open_artifact(save(model, tmp_path / "v.onnx"))


def test_slow_motion_has_n_frames_for_each_and_holds_the_last(between_file: Path) -> None:
    with VideoDecoder(between_file, threads=1) as decoder:
        slow = SlowMotion(decoder, 4)
        assert (len(slow), slow.metadata.fps) == (48, 25)
        batches = list(slow.iter(range(48), batch_size=5))
        data = np.concatenate([batch.data for batch in batches])
        assert near(data, between_frames(SLOW))
        assert (data[::4] == decoder[:].data).all()
        assert (data[44:] == data[44]).all()
        assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(48))
        frame = slow.get_frame_at(17)
        assert (frame.index, frame.pts_seconds, frame.duration_seconds) == (17, 17 / 25, 1 / 25)
        assert (frame.data == data[17]).all()
        for factor in (0, -1, 101):
            with pytest.raises(UsageError, match=f"^factor {factor} is outside 1 to 100"):
                SlowMotion(decoder, factor)
        with pytest.raises(IndexError, match="frame 48 is outside 0 to 47"):
            slow.get_frame_at(48)


def test_decode_writes_n_times_the_frames_at_the_same_rate(between_file: Path, tmp_path: Path) -> None:
    with VideoDecoder(between_file) as decoder:
        expected = np.concatenate([b.data for b in SlowMotion(decoder, 4).iter(range(8, 20))])
    arguments = ("--interpolate", "4", "--frames", "2:5", "--quiet")
    done = run(decode, between_file, "md5:", *arguments)
    assert done.stdout == f"MD5={hashlib.md5(expected.tobytes()).hexdigest()}\n"
    assert run(decode, between_file, tmp_path / "out.mp4", *arguments).exit_code == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == 25
        assert sum(1 for _ in container.decode(video=0)) == 12
    done = run(decode, between_file, tmp_path / "%05d.png", *arguments)
    assert sorted(p.name for p in tmp_path.glob("*.png"))[:2] == ["00008.png", "00009.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--interpolate", "2", "--frames", "::3"], "not a range with step 3"),
        (["--interpolate", "2", "--frames", "::-1"], "not a range with step -1"),
        (["--interpolate", "0"], "--interpolate 0 is outside 1 to 100"),
    ],
)
def test_decode_names_what_it_cannot_interpolate(between_file: Path, arguments: list[str], says: str) -> None:
    done = run(decode, between_file, "md5:", *arguments, "--quiet")
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_play_is_slow_motion_unless_told_otherwise(between_file: Path, tmp_path: Path) -> None:
    with VideoDecoder(between_file) as decoder:
        expected = np.concatenate([b.data for b in SlowMotion(decoder, 3).iter(range(6, 36))])
    done = run(play, between_file, "md5:", "--interpolate", "3", "--start", "2f", "--quiet")
    assert done.stdout == f"MD5={hashlib.md5(expected.tobytes()).hexdigest()}\n"
    for options, rate in ((["--fps", "75"], 75), (["--speed", "3"], 75), ([], 25)):
        done = run(play, between_file, tmp_path / "o.mkv", "--interpolate", "3", "--quiet", *options)
        assert done.exit_code == 0, done.stderr
        with av.open(str(tmp_path / "o.mkv")) as container:
            assert container.streams.video[0].average_rate == rate
    times = tmp_path / "times.csv"
    done = run(play, between_file, "null:", "--interpolate", "3", "--untimed", "--frametimes", times, "--quiet")
    assert done.exit_code == 0, done.stderr
    assert [line.split(",")[2] for line in times.read_text().split()[1:]] == [str(i) for i in range(36)]


def test_play_of_whole_frames_alone_is_one_line(table_file: Path) -> None:
    done = run(play, table_file, "null:", "--interpolate", "2", "--quiet")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "export it again with pfnr-export --time continuous" in done.stderr


def test_inspect_tells_which_times_there_are(between_file: Path, table_file: Path) -> None:
    lines = run(inspect, between_file).stdout.splitlines()
    assert any(
        line.startswith("time")
        and line.endswith("continuous, embedding of base 1.25, 4 levels, session scalar 0.5")
        for line in lines
    )
    assert any(
        line.split() == ["time", "whole", "frames"] for line in run(inspect, table_file).stdout.splitlines()
    )
    found = json.loads(run(inspect, between_file, "--json").stdout)
    assert found["contract"]["time_embedding"] == {"base": 1.25, "levels": 4, "scalar": 0.5}
