"""The baseline: the same frames as plain H.264, written by our video sink and decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import BackendError


class H264Reader:
    """Pictures of a video file, uint8 [H, W, 3] RGB, by PyAV; a context manager.

    threads: of the decoder. device: one of FFmpeg's hardware devices, such as 'cuda'; None for software; a
    BackendError if it cannot decode the file.
    """

    def __init__(self, path: Path, *, threads: int, device: str | None = None) -> None:
        import av
        from av.codec.hwaccel import HWAccel

        try:
            accelerated = HWAccel(device, allow_software_fallback=False) if device else None
            self._container: Any = av.open(str(path), hwaccel=accelerated)
        except Exception as error:  # FFmpeg's errors, and PyAV's RuntimeError or ValueError
            raise BackendError(" ".join(str(error).split())[:200]) from None
        self._stream: Any = self._container.streams.video[0]
        context = self._stream.codec_context
        if device is not None and not context.is_hwaccel:
            self.close()
            raise BackendError("FFmpeg would decode this file on the processor")
        if device is None:
            context.thread_count, context.thread_type = threads, "AUTO"

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """Every picture in order."""
        self._container.seek(0)
        for frame in self._container.decode(self._stream):
            yield frame.to_ndarray(format="rgb24")

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One picture by number; decodes from the preceding key frame, as H.264 requires."""
        wanted = round(index / (self._stream.average_rate * self._stream.time_base))
        self._container.seek(wanted, stream=self._stream, backward=True)
        for frame in self._container.decode(self._stream):
            if frame.pts >= wanted:
                picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
                return picture
        raise IndexError(f"picture {index} is not in the file")

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> H264Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def hardware_devices() -> list[str]:
    """Hardware decoders that this build of PyAV supports, whether or not this machine has them."""
    from av.codec.hwaccel import hwdevices_available

    return list(hwdevices_available())
