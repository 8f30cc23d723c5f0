"""null: discards frames, for timing a decoder."""

from __future__ import annotations

from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


class NullSink(Sink):
    """Counts frames and discards them."""

    description = "nothing"

    def _write_impl(self, frame: Frame) -> None:
        pass

    def _close_impl(self) -> None:
        pass


def _open(uri: str, video: VideoRecord, frames: int) -> Sink:
    return NullSink(uri, video)


SINK = SinkKind("null", "null:", lambda uri: uri == "null:", _open)
