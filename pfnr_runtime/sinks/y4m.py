"""YUV4MPEG2 (.y4m, or - for a pipe): raw 4:2:0 frames after one line of text, which every codec tool reads.

The format records size, one rate, sample aspect, chroma siting and range; it cannot record the matrix, transfer
and primaries, nor the times of single frames.
"""

from __future__ import annotations

from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.sinks.losses import lost_colour, lost_times
from pfnr_runtime.sinks.output_file import STANDARD_OUTPUT, open_output
from pfnr_runtime.sinks.ycbcr import planes, to_ycbcr
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


def header(video: VideoRecord) -> bytes:
    """The stream header, with its newline."""
    fps, aspect = video.fps, video.sample_aspect
    colour_range = "FULL" if video.colour.range == "full" else "LIMITED"
    return (
        f"YUV4MPEG2 W{video.width} H{video.height} F{fps.numerator}:{fps.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE={colour_range}\n"
    ).encode("ascii")


class Y4mSink(Sink):
    """One .y4m file or pipe. Odd sizes are kept; their chroma planes are rounded up, as the format requires."""

    def __init__(self, uri: str, video: VideoRecord) -> None:
        super().__init__(uri, video)
        colour = f"{video.colour.matrix} {video.colour.range} range"
        self.description = f"raw 4:2:0, {colour}{lost_times(video)}{lost_colour(video.colour)}"
        self._file = open_output(uri)
        try:
            self._file.write(header(video))
        except BrokenPipeError:
            self.abort()
            raise
        except OSError as error:
            raise self._failed(error) from None

    def _write_impl(self, frame: Frame) -> None:
        self._file.write(b"FRAME\n")
        for plane in planes(to_ycbcr(frame.data, self.video.colour, "yuv420p")):
            self._file.write(plane.tobytes())

    def _close_impl(self) -> None:
        self._file.commit()

    def _abort_impl(self, error: OSError | None) -> str:
        self._file.discard()
        return ""


def _open(uri: str, video: VideoRecord, frames: int) -> Sink:
    return Y4mSink(uri, video)


SINK = SinkKind(
    "y4m", "*.y4m, - (standard output)", lambda uri: uri == STANDARD_OUTPUT or uri.lower().endswith(".y4m"), _open
)
