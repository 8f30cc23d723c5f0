"""The decode loop's logic, on a stand-in for the device: right frames, overlap, failures, clean-up."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np
import pytest
from helpers.stand_in_device import StandInDevice, StandInEngine
from numpy.typing import NDArray

from pfnr_runtime.backends.trt.decode_loop import DecodeLoop
from pfnr_runtime.errors import BackendError

SHAPE = (4, 6, 3)
TABLE = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)


def numbers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def make(
    max_batch: int = 1, graphs: bool = True, table: Any = TABLE, scheduler: random.Random | None = None
) -> tuple[DecodeLoop, StandInDevice]:
    device = StandInDevice(scheduler)
    engine = StandInEngine(device, table)
    loop = DecodeLoop(device, engine, shape=table.shape[1:], dtype=table.dtype, max_batch=max_batch, graphs=graphs)
    return loop, device


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("max_batch", [1, 2, 3, 8])
def test_frames_are_right_in_any_order_and_batch(max_batch: int, graphs: bool) -> None:
    loop, device = make(max_batch, graphs)
    rng = np.random.default_rng(1)
    for size in (1, 2, 3, 5, 8, 17, 1, 8, 8, 3):
        wanted = rng.integers(0, len(TABLE), size)
        assert (loop.decode(wanted) == TABLE[wanted]).all()
    parts = [rng.integers(0, len(TABLE), size) for size in (1, 4, 1, 1, 9, 2)]
    for part, frames in zip(parts, loop.decode_each(parts), strict=True):
        assert (frames == TABLE[part]).all()
    loop.close()
    assert not device.alive


@pytest.mark.parametrize("seed", range(30))
def test_frames_are_right_whenever_the_device_gets_to_its_work(seed: int) -> None:
    rng = random.Random(seed)
    loop, device = make(rng.choice([1, 2, 3]), graphs=rng.random() < 0.5, scheduler=rng)
    parts = [np.array(rng.choices(range(len(TABLE)), k=rng.randrange(1, 7)), np.int64) for _ in range(20)]
    for part, frames in zip(parts, loop.decode_each(parts), strict=True):
        if rng.random() < 0.3:
            seek = rng.randrange(len(TABLE))
            assert (loop.decode(numbers(seek)) == TABLE[[seek]]).all()
        assert (frames == TABLE[part]).all()
    loop.close()
    assert not device.alive


def test_frames_handed_out_are_the_callers_own() -> None:
    loop, _ = make(2)
    first = loop.decode(numbers(3, 4))
    loop.decode(numbers(5, 6))
    loop.decode(numbers(7, 8))
    assert (first == TABLE[[3, 4]]).all()


def test_float_frames_keep_their_layout() -> None:
    table = np.random.default_rng(2).random((9, 3, 4, 6)).astype(np.float32)
    loop, _ = make(2, table=table)
    assert (loop.decode(numbers(8, 0, 4)) == table[[8, 0, 4]]).all()


def test_the_next_step_is_under_way_before_a_part_is_handed_out() -> None:
    loop, device = make(graphs=False)
    engine: Any = loop._engine
    handed = loop.decode_each(numbers(i) for i in range(5))
    for i in range(5):
        frames = next(handed)
        assert (frames == TABLE[[i]]).all()
        assert len(engine.runs) == min(i + 2, 5)
        # Handing out part i waited for its own copy and for nothing of the step after it.
        assert device.history.count("step 1") == i + 1
        assert device.history.count("out") == i + 1


def test_a_step_waits_for_its_input_and_a_copy_for_its_step() -> None:
    loop, device = make(graphs=False)
    loop.decode(numbers(7))
    assert [what for what in device.history if what not in ("record", "wait")] == ["in", "step 1", "out"]


def test_tails_run_at_their_own_size() -> None:
    loop, _ = make(4, graphs=False)
    engine: Any = loop._engine
    loop.decode(np.arange(10))
    assert engine.runs == [4, 4, 2]


def test_a_part_given_up_half_way_leaves_the_loop_usable() -> None:
    loop, device = make()
    handed = loop.decode_each(numbers(i) for i in range(10))
    next(handed)
    handed.close()
    assert (loop.decode(numbers(30, 31, 32)) == TABLE[[30, 31, 32]]).all()
    loop.close()
    assert not device.alive


def test_two_interleaved_readers_and_seeks_get_their_own_frames() -> None:
    loop, _ = make(2)
    one = loop.decode_each(numbers(i, i + 1) for i in range(0, 10, 2))
    two = loop.decode_each(numbers(i) for i in range(20, 25))
    for i in range(5):
        assert (next(one) == TABLE[[2 * i, 2 * i + 1]]).all()
        assert (loop.decode(numbers(39 - i)) == TABLE[[39 - i]]).all()
        assert (next(two) == TABLE[[20 + i]]).all()


def test_steps_are_recorded_once_for_each_set_of_buffers_and_then_launched() -> None:
    loop, device = make()
    engine: Any = loop._engine
    for i in range(12):
        assert (loop.decode(numbers(i)) == TABLE[[i]]).all()
    # One plain run, and one recording for each of the two sets of buffers; the rest are launches of those.
    assert len(engine.runs) == 3
    assert device.history.count("graph") > 0
    assert loop.note == "one CUDA graph per step"


def test_another_batch_size_in_a_profile_is_recorded_anew() -> None:
    loop, device = make(4)
    for batch in (4, 4, 4, 3, 3, 3, 4, 4, 4, 1, 1, 1):
        wanted = np.arange(batch) + 7
        assert (loop.decode(wanted) == TABLE[wanted]).all()
    loop.close()
    assert not device.alive


def test_an_engine_that_forbids_graphs_runs_without_and_says_so() -> None:
    loop, device = make()
    engine: Any = loop._engine
    engine.obstacle = "the engine synchronises inside"
    for i in range(5):
        assert (loop.decode(numbers(i)) == TABLE[[i]]).all()
    assert loop.note == "no CUDA graph: the engine synchronises inside"
    assert "graph" not in device.history


def test_a_recording_that_fails_falls_back_and_says_so() -> None:
    loop, device = make()
    device.graphs_allowed = False
    for i in range(5):
        assert (loop.decode(numbers(i)) == TABLE[[i]]).all()
    assert loop.note == "no CUDA graph: CUDA: operation not permitted when stream is capturing"
    loop.close()
    assert not device.alive


def test_graphs_can_be_switched_off() -> None:
    loop, device = make(graphs=False)
    for i in range(5):
        loop.decode(numbers(i))
    assert "graph" not in device.history
    assert loop.note == "no CUDA graph: switched off"


@pytest.mark.parametrize("failing", range(5))
def test_an_engine_that_refuses_once_leaves_the_loop_usable(failing: int) -> None:
    loop, device = make(2, graphs=False)
    engine: Any = loop._engine
    engine.fail_from = failing
    with pytest.raises(BackendError, match="the engine refuses"):
        loop.decode(np.arange(10))
    engine.fail_from = None
    assert (loop.decode(np.arange(10)) == TABLE[:10]).all()
    loop.close()
    assert not device.alive


def calls_of_a_whole_life(device: StandInDevice, max_batch: int) -> None:
    loop = DecodeLoop(device, StandInEngine(device, TABLE), shape=SHAPE, max_batch=max_batch)
    try:
        for _ in range(3):
            loop.decode(np.arange(5))
        with loop.lend(numbers(3)):
            loop.decode(numbers(1))
        for _ in loop.decode_each(numbers(i) for i in range(3)):
            pass
    finally:
        loop.close()
        loop.close()


@pytest.mark.parametrize("max_batch", [1, 3])
def test_whichever_call_fails_everything_is_given_back_exactly_once(max_batch: int) -> None:
    whole = StandInDevice()
    calls_of_a_whole_life(whole, max_batch)
    assert not whole.alive
    for turn in range(whole.calls):
        device = StandInDevice()
        device.fail_at = turn
        with contextlib.suppress(BackendError):
            calls_of_a_whole_life(device, max_batch)
        # The stand-in fails on giving back twice; destroying works on a broken device, as it does in CUDA.
        assert not device.alive, f"after failing from call {turn} on"


def test_a_device_that_stays_broken_is_not_used_again() -> None:
    loop, device = make()
    loop.decode(numbers(1))
    device.fail_at = device.calls
    with pytest.raises(BackendError, match="illegal memory access"):
        loop.decode(numbers(2))
    device.fail_at = None
    with pytest.raises(BackendError, match="open the video again"):
        loop.decode(numbers(3))


def test_an_interrupt_in_the_middle_leaves_nothing_behind() -> None:
    loop, device = make(graphs=False)
    engine: Any = loop._engine
    original = engine.enqueue

    def interrupted(*args: Any) -> None:
        original(*args)
        raise KeyboardInterrupt

    engine.enqueue = interrupted
    with pytest.raises(KeyboardInterrupt):
        loop.decode(numbers(1, 2))
    engine.enqueue = original
    assert (loop.decode(numbers(5)) == TABLE[[5]]).all()
    loop.close()
    assert not device.alive


def test_a_closed_loop_gives_no_frames() -> None:
    loop, _ = make()
    handed = loop.decode_each(numbers(i) for i in range(5))
    next(handed)
    loop.close()
    with pytest.raises(ValueError, match="closed"):
        next(handed)
    with pytest.raises(ValueError, match="closed"):
        loop.decode(numbers(1))


def test_frames_on_the_device_stay_until_released() -> None:
    loop, device = make(2)
    with loop.lend(numbers(11, 12)) as frames:
        for i in range(6):
            assert (loop.decode(numbers(i)) == TABLE[[i]]).all()
        device.synchronise()
        held = device.memory[frames.address][: 2 * TABLE[0].size].reshape(2, *SHAPE)
        assert (held == TABLE[[11, 12]]).all()
        about = frames.__cuda_array_interface__
        assert about["shape"] == (2, *SHAPE)
        assert (about["typestr"], about["version"], about["data"]) == ("|u1", 3, (frames.address, False))
        assert about["stream"] == loop.stream.number
        with pytest.raises(ValueError, match="already lent out"):
            loop.lend(numbers(1))
    with pytest.raises(ValueError, match="released"):
        _ = frames.__cuda_array_interface__
    with loop.lend(numbers(1)), pytest.raises(ValueError, match="3 frames is outside 1 to 2"):
        loop.lend(numbers(1, 2, 3))


def test_closing_takes_lent_frames_back() -> None:
    loop, device = make()
    frames = loop.lend(numbers(1))
    loop.close()
    assert not device.alive
    with pytest.raises(ValueError, match="released"):
        _ = frames.__cuda_array_interface__
    frames.release()


def test_arrays_made_of_lent_frames_hold_them_until_they_are_gone() -> None:
    loop, device = make(2)
    device.dlpack_device = (1, 0)
    frames = loop.lend(numbers(11, 12))
    array = np.from_dlpack(frames)
    assert (array == TABLE[[11, 12]]).all(), "taken when they were complete"
    frames.release()
    for i in range(4):
        assert (loop.decode(numbers(i)) == TABLE[[i]]).all()
    with pytest.raises(ValueError, match="drop the arrays made from them"):
        loop.lend(numbers(1))
    assert (array == TABLE[[11, 12]]).all()
    del array
    with loop.lend(numbers(5)) as again:
        assert (np.from_dlpack(again) == TABLE[[5]]).all()
    assert (loop.decode(numbers(1, 2, 3, 4, 5)) == TABLE[1:6]).all()
    loop.close()
    assert not device.alive


def test_arrays_made_of_lent_frames_outlive_the_loop() -> None:
    loop, device = make(2)
    device.dlpack_device = (1, 0)
    frames = loop.lend(numbers(11, 12))
    array = np.from_dlpack(frames)
    loop.close()
    assert list(device.alive) == [frames.address]
    assert (array == TABLE[[11, 12]]).all()
    del array
    assert not device.alive


def test_a_stream_of_another_library_waits_for_the_frames() -> None:
    loop, device = make()
    frames = loop.lend(numbers(3))
    frames.__dlpack__(stream=4711)
    ((stream, event),) = device.foreign_waits
    assert stream == 4711
    assert event.recorded == 1
    loop.close()
    assert not device.alive
