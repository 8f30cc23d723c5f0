"""VideoDecoder: the right frames, by number and by time, in any order and batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_artifacts import FRAMES, picture_table

from pfnr_runtime import FrameBatch, VideoDecoder
from pfnr_runtime.artifact import open as open_module

TABLE = picture_table()


@pytest.fixture
def decoder(table_file: Path) -> Any:
    with VideoDecoder(table_file) as opened:
        yield opened


def test_every_frame_is_the_stored_one(decoder: VideoDecoder) -> None:
    assert len(decoder) == FRAMES
    assert [frame.index for frame in decoder] == list(range(FRAMES))
    assert all((frame.data == TABLE[frame.index]).all() for frame in decoder)


def test_frames_carry_their_times(decoder: VideoDecoder) -> None:
    frame = decoder[3]
    assert (frame.index, frame.pts_seconds, frame.duration_seconds) == (3, 0.12, 0.04)


def test_negative_numbers_count_from_the_end(decoder: VideoDecoder) -> None:
    assert decoder[-1].index == FRAMES - 1
    assert decoder.get_frame_at(-FRAMES).index == 0
    assert decoder.get_frames_at([-1, 0]).indices.tolist() == [FRAMES - 1, 0]


@pytest.mark.parametrize(
    "key", [slice(2, 9, 3), slice(None, None, -1), slice(-4, None), slice(5, 2), slice(0, 99)]
)
def test_slices_are_those_of_a_list(decoder: VideoDecoder, key: slice) -> None:
    batch = decoder[key]
    assert isinstance(batch, FrameBatch)
    assert batch.indices.tolist() == list(range(FRAMES))[key]
    assert (batch.data == TABLE[key]).all()


def test_chosen_frames_come_in_the_order_asked_for(decoder: VideoDecoder) -> None:
    numbers = [7, 0, 7, 3]
    batch = decoder.get_frames_at(numbers)
    assert batch.indices.tolist() == numbers
    assert (batch.data == TABLE[numbers]).all()
    assert decoder.get_frames_at(np.array(numbers)).indices.tolist() == numbers
    assert len(decoder.get_frames_at([])) == 0


def test_ranges_are_half_open(decoder: VideoDecoder) -> None:
    assert decoder.get_frames_in_range(2, 5).indices.tolist() == [2, 3, 4]
    assert decoder.get_frames_in_range(start=0, stop=FRAMES, step=5).indices.tolist() == [0, 5, 10]
    assert len(decoder.get_frames_in_range(FRAMES, FRAMES)) == 0


def test_frames_on_screen_are_found_by_time(decoder: VideoDecoder) -> None:
    for index in range(FRAMES):
        assert decoder.get_frame_played_at(index / 25).index == index
        assert decoder.get_frame_played_at(index / 25 + 0.039).index == index
    assert decoder.get_frames_played_at([0.2, 0.0]).indices.tolist() == [5, 0]


@pytest.mark.parametrize(
    ("start", "stop", "indices"),
    [
        (0.04, 0.12, [1, 2]),
        (0.05, 0.13, [1, 2, 3]),
        (0.0, 0.48, list(range(FRAMES))),
        (0.1, 0.1, []),
        (0.48, 0.48, []),
        (0.44, 0.48, [11]),
    ],
)
def test_frames_on_screen_during_a_time_are_found(
    decoder: VideoDecoder, start: float, stop: float, indices: list[int]
) -> None:
    assert decoder.get_frames_played_in_range(start, stop).indices.tolist() == indices


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda d: d[FRAMES], IndexError, "frame 12 is outside -12 to 11 of 'tiny'"),
        (lambda d: d[-FRAMES - 1], IndexError, "frame -13"),
        (lambda d: d.get_frames_at([0, 99]), IndexError, "frame 99"),
        (lambda d: d.get_frames_in_range(3, 13), IndexError, "3:13 is not inside 0:12"),
        (lambda d: d.get_frames_in_range(5, 3), IndexError, "5:3"),
        (lambda d: d.get_frames_in_range(0, 3, step=0), ValueError, "step 0"),
        (lambda d: d.get_frame_played_at(0.48), ValueError, r"0.48 s is outside \[0, 0.48\) s"),
        (lambda d: d.get_frame_played_at(-0.1), ValueError, "-0.1 s"),
        (lambda d: d.get_frame_played_at(float("nan")), ValueError, "nan"),
        (lambda d: d.get_frames_played_in_range(0.2, 0.1), ValueError, "time range"),
        (lambda d: d.get_frames_played_in_range(0.0, 9.0), ValueError, "time range"),
        (lambda d: d.get_frames_played_in_range(0.0, float("inf")), ValueError, "inf"),
        (lambda d: d[1.5], TypeError, "integer"),
        (lambda d: d.iter(batch_size=0), ValueError, "batch_size 0"),
    ],
)
def test_what_is_not_in_the_video_is_named(
    decoder: VideoDecoder, ask: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(decoder)


def test_batches_cover_the_video_in_order(decoder: VideoDecoder) -> None:
    batches = list(decoder.iter(batch_size=5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert (np.concatenate([batch.data for batch in batches]) == TABLE).all()
    assert [b.indices.tolist() for b in decoder.iter([3, -1], batch_size=1)] == [[3], [11]]


def test_a_float_artifact_gives_the_same_pictures(float_file: Path) -> None:
    with VideoDecoder(float_file) as decoder:
        assert (decoder[:].data == TABLE).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_order_and_batch_size_never_change_a_byte(conv_file: Path, threads: int) -> None:
    with VideoDecoder(conv_file, threads=threads) as decoder:
        frames = np.stack([frame.data for frame in decoder])
        assert len(np.unique(frames.reshape(FRAMES, -1), axis=0)) == FRAMES
        assert (decoder[::-1].data[::-1] == frames).all()
        seeks = np.random.default_rng(1).integers(0, FRAMES, 40)
        assert all((decoder[int(i)].data == frames[i]).all() for i in seeks)
        for size in (1, 3, 8):
            again = np.concatenate([batch.data for batch in decoder.iter(batch_size=size)])
            assert (again == frames).all()
    with VideoDecoder(conv_file, threads=threads) as second:
        assert (second[:].data == frames).all()


def test_a_decoder_prints_what_it_is(decoder: VideoDecoder) -> None:
    assert "'tiny', 12 frames, 64×36, 25 fps, onnxruntime-cpu" in repr(decoder)
    assert "ONNX Runtime" in str(decoder.backend)
    assert decoder.metadata.name == "tiny"
    assert decoder.contract.lowering == "matmul"


def test_a_closed_decoder_says_so(table_file: Path) -> None:
    decoder = VideoDecoder(table_file)
    decoder.close()
    decoder.close()
    with pytest.raises(ValueError, match="closed"):
        decoder[0]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20, 24])
def test_many_frames_at_once_go_through_the_engine_a_few_at_a_time(
    count: int, table_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_module, "MOST_PIXELS", 1)
    with VideoDecoder(table_file) as decoder:
        seen: list[int] = []
        run = decoder._backend._decode_impl
        monkeypatch.setattr(decoder._backend, "_decode_impl", lambda x: seen.append(len(x)) or run(x))
        numbers = [i % 12 for i in range(count)]
        (batch,) = decoder.iter(numbers, batch_size=1000)
        np.testing.assert_array_equal(batch.data, picture_table()[numbers])
    assert max(seen) <= 8
    assert sum(seen) == count
