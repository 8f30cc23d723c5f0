"""md5: one digest of all frames, as `ffmpeg -pix_fmt rgb24 -f md5` gives it."""

from __future__ import annotations

import hashlib

from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


class Md5Sink(Sink):
    """MD5 of the rgb24 bytes of all frames in the order written; `result()['md5']` in hex once closed."""

    description = "md5 of rgb24 samples"

    def __init__(self, uri: str, video: VideoRecord) -> None:
        super().__init__(uri, video)
        self._digest = hashlib.md5(usedforsecurity=False)

    def _write_impl(self, frame: Frame) -> None:
        self._digest.update(frame.data.tobytes())

    def _close_impl(self) -> None:
        pass

    def result(self) -> dict[str, str]:
        return {"md5": self._digest.hexdigest()}


def _open(uri: str, video: VideoRecord, frames: int) -> Sink:
    return Md5Sink(uri, video)


SINK = SinkKind("md5", "md5:", lambda uri: uri == "md5:", _open)
