"""Raw frames, concatenated without headers: rgb24:FILE, yuv420p:FILE, *.rgb, *.yuv; FILE may be -."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import UsageError
from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.sinks.losses import lost_colour, lost_times
from pfnr_runtime.sinks.output_file import open_output
from pfnr_runtime.sinks.ycbcr import planes, to_ycbcr
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord

FORMATS = ("rgb24", "yuv420p")
SUFFIXES = {".rgb": "rgb24", ".yuv": "yuv420p"}


def parse(uri: str) -> tuple[str, str] | None:
    """The pixel format and the target that a URI names, or None if it is not a raw output."""
    scheme, colon, target = uri.partition(":")
    if colon and scheme in FORMATS:
        return scheme, target
    return next(((name, uri) for suffix, name in SUFFIXES.items() if uri.lower().endswith(suffix)), None)


class RawSink(Sink):
    """rgb24: [H, W, 3] full range. yuv420p: Y, Cb, Cr planes in the record's colours, chroma rounded up."""

    def __init__(self, uri: str, video: VideoRecord) -> None:
        super().__init__(uri, video)
        parsed = parse(uri)
        if parsed is None or not parsed[1]:
            raise UsageError(f"{uri}: name a file after the colon, or - for standard output")
        self._format, target = parsed
        colour = "full range" if self._format == "rgb24" else f"{video.colour.matrix} {video.colour.range} range"
        self.description = (
            f"raw {colour}: -f rawvideo -pixel_format {self._format} -video_size {video.width}x{video.height} "
            f"-framerate {video.fps}{lost_times(video)}{lost_colour(video.colour)}"
        )
        self._file = open_output(target)

    def _write_impl(self, frame: Frame) -> None:
        for part in self._parts(frame):
            self._file.write(np.ascontiguousarray(part).data)

    def _parts(self, frame: Frame) -> list[NDArray[np.uint8]]:
        if self._format == "rgb24":
            return [frame.data.reshape(-1)]
        return [plane.reshape(-1) for plane in planes(to_ycbcr(frame.data, self.video.colour, self._format))]

    def _close_impl(self) -> None:
        self._file.commit()

    def _abort_impl(self, error: OSError | None) -> str:
        self._file.discard()
        return ""


def _open(uri: str, video: VideoRecord, frames: int) -> Sink:
    return RawSink(uri, video)


SINK = SinkKind(
    "raw", "rgb24:FILE, yuv420p:FILE, *.rgb, *.yuv (FILE may be -)", lambda uri: parse(uri) is not None, _open
)
