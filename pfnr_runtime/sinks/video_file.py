"""A video file (.mp4, .mkv) in any codec of `video_codecs`, converted to and tagged with the source's colours."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import SinkError
from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.sinks.output_file import open_file
from pfnr_runtime.sinks.video_codecs import choose_codec
from pfnr_runtime.sinks.ycbcr import RGB_FORMATS, stream_tags, to_picture
from pfnr_runtime.system.interrupts import hold_interrupts
from pfnr_runtime.system.scheduling import keep_scheduling
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord

if TYPE_CHECKING:
    import av

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska"}
# The index goes before the samples, so that browsers can play the file while it loads.
OPTIONS = {"mp4": {"movflags": "+faststart"}}
MATROSKA_TICK = Fraction(1, 1000)
LARGEST_RATE_PART = 10**9  # FFmpeg's fractions have 32 bits on either side
# Room to finish a container on a full disk: the index, and what the muxer still holds.
RESERVE_BYTES, RESERVE_PER_FRAME = 1 << 18, 64


class VideoFileSink(Sink):
    """One .mp4 or .mkv file, which appears under its name once it is complete.

    When the disk fills up, the part written so far is finished and kept as NAME.partial.mp4; any other failure, or
    an interrupt, leaves nothing. codec: a key of `video_codecs.CODECS`. Even sizes are 4:2:0, which plays
    everywhere; the codec decides the format of an odd width or height. Where the record has a table of times, it
    is that of the frames written, in their order, and each frame appears at its time.
    """

    def __init__(self, uri: str, video: VideoRecord, frames: int, *, codec: str | None = None) -> None:
        super().__init__(uri, video)
        self._packets = 0
        suffix = Path(uri).suffix.lower()
        self._codec = choose_codec(uri, suffix, video, codec)
        self._pixel_format = self._codec.format_for(video.width, video.height)
        reason = " (the size is odd; not every player shows 4:4:4)" if self._pixel_format == "yuv444p" else ""
        self._times = video.times
        if self._times is not None and suffix == ".mkv":
            _check_durations(uri, self._times)
        colour = video.colour
        meaning = "RGB" if self._pixel_format in RGB_FORMATS else f"{colour.matrix} {colour.range} range"
        self.description = (
            f"{self._codec.title} {self._pixel_format}{reason}, {self._codec.note}, {meaning}"
            f"{f', {colour.unusual}' if colour.unusual else ''}"
            f"{', variable frame rate' if self._times is not None else ''}"
        )
        self._file = open_file(uri, reserve=RESERVE_BYTES + RESERVE_PER_FRAME * frames)
        try:
            self._start(CONTAINERS[suffix])
        except BaseException:
            self._file.discard()
            raise

    def _start(self, container: str) -> None:
        import av

        if not self._file.seekable():
            raise SinkError(f"{self.uri}: a video file cannot be written to a pipe or device; use .y4m")
        # PyAV's stubs want a full file object; write, seek and tell are what it calls.
        file: Any = self._file
        self._container = av.open(
            file,
            "w",
            format=container,
            container_options=OPTIONS.get(container, {}),
            io_open=lambda url, flags, options: self._file.reader(),  # to move the samples behind the index
        )
        codec = self._codec
        for name, value in codec.environment.items():
            os.environ.setdefault(name, value)
        rate = self.video.fps
        if max(rate.as_integer_ratio()) > LARGEST_RATE_PART:
            rate = rate.limit_denominator(10**6)
        if not rate:
            raise SinkError(f"{self.uri}: under one frame in 10^6 s is no video file's rate; write images or .y4m")
        try:
            stream: Any = self._container.add_stream(codec.encoder, rate=rate)
        except (av.FFmpegError, ValueError) as error:
            raise SinkError(f"{self.uri}: this build of PyAV cannot write {codec.title} ({error})") from None
        stream.width, stream.height = self.video.width, self.video.height
        stream.pix_fmt = self._pixel_format
        stream.options = dict(codec.options)
        encoder = stream.codec_context
        self._time_base = stream.time_base = encoder.time_base = 1 / rate
        if self._times is not None:
            self._time_base = stream.time_base = encoder.time_base = self._times.time_base
            # Containers store decoding times; with reordered frames, they do not keep each frame's duration.
            encoder.max_b_frames = 0
        if codec.tag is not None and container == "mp4":
            encoder.codec_tag = codec.tag
        tags, encoder.color_range = stream_tags(self.video.colour, self._pixel_format)
        encoder.color_primaries, encoder.color_trc, encoder.colorspace = tags
        encoder.sample_aspect_ratio = self.video.sample_aspect
        self._stream = stream

    def _write_impl(self, frame: Frame) -> None:
        picture = to_picture(frame.data, self.video.colour, self._pixel_format)
        number = self.frames_written
        picture.pts = number if self._times is None else self._times.ticks[number]
        picture.time_base = self._time_base
        self._mux(picture)
        if self._file.full is not None:
            raise self._file.full

    def _close_impl(self) -> None:
        self._mux(None)
        # Past this point a full disk does not matter: if the reserve was enough, the file is complete.
        with hold_interrupts():
            self._container.close()
        self._file.commit()

    def _mux(self, picture: av.VideoFrame | None) -> None:
        import av

        # The first picture opens the encoder, which may change how the whole process is scheduled.
        scheduling = contextlib.nullcontext() if self.frames_written else keep_scheduling()
        try:
            with hold_interrupts(), scheduling:
                for packet in self._stream.encode(picture):
                    if self._times is not None:
                        number = bisect_left(self._times.ticks, packet.pts)
                        packet.duration = self._times.ticks[number + 1] - packet.pts
                    self._container.mux(packet)
                    self._packets += 1
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise SinkError(f"{self.uri}: FFmpeg cannot write this video: {error}") from None

    def _abort_impl(self, error: OSError | None) -> str:
        finished = self._finish()
        try:
            if finished and self._packets and error is not None and self._file.full is not None:
                path = self._file.path
                kept = path.with_name(f"{path.stem}.partial{path.suffix}")
                self._file.commit(name=kept)
                return f"; the first {self._packets} of its frames are kept in {kept}"
        except OSError:  # the reserve was too small: there is nothing to keep
            pass
        finally:
            self._file.discard()
        return ""

    def _finish(self) -> bool:
        """Write the container's index; True if that worked.

        Always called while the file is open: otherwise FFmpeg writes the index when it frees its memory, into a
        closed file.
        """
        try:
            with hold_interrupts():
                self._container.close()
        except Exception:  # after a failed write PyAV raises errors of several kinds here
            return False
        return True


def _check_durations(uri: str, times: FrameTimes) -> None:
    """A SinkError for frames that follow each other faster than Matroska can represent."""
    shortest = min(range(len(times)), key=times.duration_of)
    if times.duration_of(shortest) < MATROSKA_TICK:
        raise SinkError(
            f"{uri}: frame {shortest} stays {float(times.duration_of(shortest)):.3g} s; .mkv resolves only "
            "0.001 s: write .mp4"
        )


SINK = SinkKind(
    "video file",
    "*.mp4, *.mkv",
    lambda uri: Path(uri).suffix.lower() in CONTAINERS,
    VideoFileSink,
    options=frozenset({"codec"}),
)
