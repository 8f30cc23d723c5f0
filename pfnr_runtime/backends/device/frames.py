"""Decoded frames that stay on the device, for code that draws or computes there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from pfnr_runtime.backends.device.dlpack import CPU, CUDA, Export

LEGACY_STREAM = 1  # CUDA's default stream in DLPack's numbering
NO_WAIT = -1


class DeviceFrames:
    """Frames in device memory, lent until released: `with decoder.device_frames([3]) as frames:`.

    - address: of the first sample.
    - shape: [B, H, W, 3] for uint8, [B, 3, H, W] for float32.
    - device: DLPack's type and number, (2, 0) for the first CUDA device.
    - stream: number of the stream that computes them, None if they are complete.

    `torch.from_dlpack(frames)`, `cupy.from_dlpack(frames)` and other DLPack readers take them without a copy and
    wait for their computation; so do readers of `__cuda_array_interface__`. After `release` the memory is reused
    once no array made through DLPack uses it. An array made through `__cuda_array_interface__` does not hold the
    memory: drop it first.
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        device: tuple[int, int],
        *,
        stream: int | None = None,
        ready: Callable[[int | None], None] = lambda stream: None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """ready: makes a stream (by number) or, for None, the caller wait until the frames are complete. release:
        called once, from the decoding thread or a library's, when no user is left.
        """
        self.address, self.shape, self.dtype, self.device, self.stream = address, shape, dtype, device, stream
        self._ready, self._give_back = ready, release
        self._exports: list[Export] = []
        self._lent = True
        self._lock = threading.RLock()

    @property
    def in_use(self) -> bool:
        """Whether the memory is still lent, or an array made through DLPack uses it."""
        return self._lent or bool(self._exports)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the CUDA Array Interface; a ValueError once released, AttributeError off CUDA devices."""
        self._check_lent()
        if self.device[0] != CUDA:
            raise AttributeError("frames in host memory have no __cuda_array_interface__")
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": self.stream,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's device type and number."""
        return self.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule over the frames. stream: on a CUDA device, the stream that will use them; None or 1 for
        the default one, 2 for the per-thread default, −1 not to wait.

        A ValueError once released or for an invalid stream, a BufferError for a copy or another device: those are
        up to the caller.
        """
        self._check_lent()
        if dl_device is not None and tuple(dl_device) != self.device:
            raise BufferError(
                f"these frames are on device {self.device}; move them from there, not through DLPack"
            )
        if copy:
            raise BufferError("these frames are not copied; copy the array made from them")
        self._wait(stream)
        versioned = max_version is not None and max_version[0] >= 1
        with self._lock:
            export = Export(
                self.address,
                self.shape,
                self.dtype,
                self.device,
                versioned=versioned,
                deleted=lambda: self._drop(export),
            )
            self._exports.append(export)
        return export.capsule

    def release(self) -> None:
        """Return the memory, now or when the last array made through DLPack is gone; a second call does
        nothing.
        """
        with self._lock:
            if not self._lent:
                return
            self._lent = False
            self._exports = [export for export in self._exports if not export.withdraw()]
            last = not self._exports
        if last:
            self._give_back()

    def __enter__(self) -> DeviceFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _drop(self, export: Export) -> None:
        with self._lock:
            self._exports.remove(export)
            last = not self.in_use
        if last:
            self._give_back()

    def _wait(self, stream: int | None) -> None:
        if self.device[0] == CPU:
            if stream is not None:
                raise ValueError(f"stream {stream}: frames in host memory have none; leave it out")
            self._ready(None)
        elif stream == 0 or (stream is not None and stream < NO_WAIT):
            raise ValueError(
                f"stream {stream} is not a DLPack stream for CUDA: use 1, 2, a stream's number, or -1"
            )
        elif stream != NO_WAIT:
            self._ready(LEGACY_STREAM if stream is None else stream)

    def _check_lent(self) -> None:
        if not self._lent:
            raise ValueError("these frames were released; decode them again")
