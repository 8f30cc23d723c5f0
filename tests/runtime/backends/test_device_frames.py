"""Frames left on a device: DLPack capsules over ordinary memory, taken by real libraries, and their lifetime.

The code is the same for a GPU: only the device type in the capsule differs.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_artifacts import picture_table

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.backends.device.dlpack import CPU, CUDA, _alive
from pfnr_runtime.backends.device.frames import DeviceFrames
from pfnr_runtime.errors import BackendError
from runtime.backends.test_onnxruntime_gpu import BoundCpu

TABLE = picture_table()


class Lender:
    """Lends frames in its own memory. back: how often they were given back; waited: for which streams."""

    def __init__(self, data: Any = TABLE[3:5], device: tuple[int, int] = (CPU, 0)) -> None:
        self.data = np.array(data)
        self.back, self.waited = 0, []
        self.frames = DeviceFrames(
            self.data.ctypes.data,
            self.data.shape,
            self.data.dtype,
            device,
            stream=77,
            ready=self.waited.append,
            release=self.give_back,
        )

    def give_back(self) -> None:
        self.back += 1


class Unversioned:
    """A producer as libraries before DLPack 1 ask it."""

    def __init__(self, frames: DeviceFrames) -> None:
        self.frames = frames

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.frames.__dlpack_device__()

    def __dlpack__(self, **asked: Any) -> Any:
        return self.frames.__dlpack__()


def libraries() -> list[Any]:
    torch = pytest.importorskip("torch")
    return [np.from_dlpack, torch.from_dlpack]


@pytest.mark.parametrize(
    "data", [TABLE[3:5], np.linspace(0, 1, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)]
)
@pytest.mark.parametrize("library", [0, 1], ids=["numpy", "torch"])
@pytest.mark.parametrize("wrap", [lambda frames: frames, Unversioned], ids=["versioned", "before-1"])
def test_libraries_take_the_memory_itself(library: int, wrap: Any, data: Any) -> None:
    take, lender = libraries()[library], Lender(data)
    array = take(wrap(lender.frames))
    assert (np.asarray(array) == data).all()
    assert str(array.dtype).endswith(str(data.dtype))
    lender.data[0, 0] = 1
    assert (np.asarray(array)[0, 0] == 1).all(), "no copy was made"
    assert lender.waited == [None]
    lender.frames.release()
    assert lender.back == 0, "somebody still has it"
    assert lender.frames.in_use
    view = array[1:]
    del array
    gc.collect()
    assert lender.back == 0
    del view
    gc.collect()
    assert lender.back == 1
    assert not lender.frames.in_use
    assert not _alive


def test_arrays_that_go_first_leave_the_release_to_the_lender() -> None:
    lender = Lender()
    arrays = [np.from_dlpack(lender.frames) for _ in range(3)]
    del arrays
    gc.collect()
    assert (lender.back, lender.frames.in_use) == (0, True)
    lender.frames.release()
    lender.frames.release()
    assert lender.back == 1


def test_a_capsule_that_nobody_took_is_useless_after_the_release() -> None:
    lender = Lender()
    capsules = [lender.frames.__dlpack__(), lender.frames.__dlpack__(max_version=(1, 0))]
    assert ['"dltensor"' in repr(capsules[0]), '"dltensor_versioned"' in repr(capsules[1])] == [True, True]
    lender.frames.release()
    assert lender.back == 1
    assert not _alive
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, ValueError)):
        torch.utils.dlpack.from_dlpack(capsules[0])
    with pytest.raises(ValueError, match="released"):
        lender.frames.__dlpack__()


def test_a_capsule_survives_an_exception_on_its_way() -> None:
    lender = Lender()

    def fail() -> None:
        capsule = lender.frames.__dlpack__()
        raise KeyError(repr(capsule))

    with pytest.raises(KeyError, match="dltensor"):
        fail()
    gc.collect()
    lender.frames.release()
    assert lender.back == 1


@pytest.mark.parametrize(("stream", "waits"), [(None, [1]), (1, [1]), (2, [2]), (0x7F00, [0x7F00]), (-1, [])])
def test_the_stream_that_will_use_them_waits(stream: int | None, waits: list[int]) -> None:
    lender = Lender(device=(CUDA, 0))
    assert lender.frames.__dlpack_device__() == (2, 0)
    lender.frames.__dlpack__(stream=stream)
    assert lender.waited == waits
    lender.frames.release()


def test_what_dlpack_does_not_allow_is_refused() -> None:
    cuda, cpu = Lender(device=(CUDA, 0)).frames, Lender().frames
    for stream in (0, -2):
        with pytest.raises(ValueError, match=f"stream {stream} is not a DLPack stream"):
            cuda.__dlpack__(stream=stream)
    with pytest.raises(ValueError, match="stream 1: frames in host memory have none"):
        cpu.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="copy"):
        cpu.__dlpack__(copy=True)
    with pytest.raises(BufferError, match=r"are on device \(2, 0\)"):
        cuda.__dlpack__(dl_device=(1, 0))
    with pytest.raises(AttributeError):
        _ = cpu.__cuda_array_interface__
    assert cuda.__cuda_array_interface__["stream"] == 77
    assert not _alive


def test_bound_memory_is_lent_and_no_later_run_touches_it(table_file: Path) -> None:
    with BoundCpu(open_artifact(table_file)) as backend:
        frames = backend.decode_on_device(np.array([4, 9]))
        array = np.from_dlpack(frames)
        for numbers in ([1, 2], [3, 5], [0]):
            assert (backend.decode(np.array(numbers)) == TABLE[numbers]).all()
        with backend.decode_on_device(np.array([7, 8])) as others:
            assert (np.from_dlpack(others) == TABLE[[7, 8]]).all()
        frames.release()
    assert (array == TABLE[[4, 9]]).all(), "also when the engine is gone"


def test_an_engine_on_the_cpu_says_where_frames_can_stay(table_file: Path) -> None:
    with VideoDecoder(table_file, backend="onnxruntime-cpu") as decoder:
        with pytest.raises(BackendError, match="host memory; frames stay on a GPU with the backends tensorrt"):
            decoder.device_frames([3])
        with pytest.raises(ValueError, match="no frames to keep"):
            decoder.device_frames([])
        with pytest.raises(IndexError, match="frame 12 is outside"):
            decoder.device_frames([12])
