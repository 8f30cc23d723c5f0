"""Decoded frames that stay on the GPU, for whoever draws or computes with them there."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np


class DeviceFrames:
    """Frames in device memory, lent until released: `with decoder_backend.decode_on_device(i) as frames:`.

    address: of the first sample. shape: [B, H, W, 3] for uint8, [B, 3, H, W] for float32. stream: the
    stream that computes them, as a number; work on another stream must wait for it, which a library that
    reads `__cuda_array_interface__` (CuPy, Numba, PyTorch's `as_tensor`) does by itself. The memory is
    overwritten after `release`, which waits until the device is idle: drop whatever shares it before.
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        stream: int,
        release: Callable[[], None],
    ) -> None:
        self.address, self.shape, self.dtype, self.stream = address, shape, dtype, stream
        self._release: Callable[[], None] | None = release

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the CUDA Array Interface; a ValueError once released."""
        if self._release is None:
            raise ValueError("these frames were released; decode them again")
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": self.stream,
        }

    def release(self) -> None:
        """Give the memory back; releasing twice does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> DeviceFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
