"""Decoding a video file frame by frame, and telling whether all of it was there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.container import av_errors, open_video

if TYPE_CHECKING:
    from av import VideoFrame

# Formats that may begin anywhere in a stream: packets before the first whole picture are no damage.
JOINED_MIDWAY = {"mpegts", "h264", "hevc", "mpeg", "mpegvideo", "m4v"}
UNEVEN_NOTE = "its timestamps are uneven: frames are shown at a constant rate"


class DamagedError(Exception):
    """The frame that should come next cannot be decoded; the text says why."""


class VideoReader:
    """The frames of one video file, in the order they are shown.

    path: the file. fps: what a constant rate is taken to be. Iterate once; `notes` and `shortfall` are
    known afterwards.
    """

    def __init__(self, path: Path, fps: Fraction) -> None:
        self.path = path
        self.fps = fps
        self.skipped = 0
        self._count = 0
        self._last: Fraction | None = None
        self._gaps: list[Fraction] = []
        self._declared = 0
        self._promised_end: Fraction | None = None
        self._end = Fraction(0)
        self._cut = ""
        self.last_is_doubtful = False

    def frames(self) -> Iterator[VideoFrame]:
        """PyAV frames in order; DamagedError where decoding fails, ClipError where it cannot begin."""
        with open_video(self.path) as (container, stream):
            self._declared = stream.frames
            self._promised_end = promised_end(container, stream)
            packets = container.demux(stream)
            end_of_data = 0
            while True:
                try:
                    packet = next(packets)
                    pictures = list(packet.decode())
                    end_of_data = max(end_of_data, (packet.pos or 0) + packet.size)
                except StopIteration:
                    break
                except av_errors() as error:
                    if not self._count and container.format.name in JOINED_MIDWAY and self.skipped < 1000:
                        self.skipped += 1
                        continue
                    raise DamagedError(reason_of(error)) from None
                for picture in pictures:
                    if not isinstance_of_video(picture):
                        continue
                    if picture.is_corrupt:
                        raise DamagedError("its data is incomplete")
                    self._note_time(picture)
                    self._count += 1
                    yield picture
            self._cut = cut_mark(self.path, container.format.name, end_of_data)
            # A GIF cut inside a picture still gives that picture, half drawn.
            self.last_is_doubtful = bool(self._cut) and container.format.name == "gif"

    def shortfall(self) -> str:
        """After the last frame: why the file must have been longer once, or '' where nothing says so."""
        if self._promised_end is not None and self._last is not None:
            # Time decides where the header gives one: an edit list may leave out declared frames.
            slack = max(self._gaps) if self.uneven else 1 / (2 * self.fps)
            if self._end + slack >= self._promised_end:
                return self._cut
            return f"its header promises {float(self._promised_end):.2f} seconds"
        if self._declared > self._count:
            return f"its header promises {self._declared} frames"
        return self._cut

    @property
    def uneven(self) -> bool:
        """Whether the frames seen so far came at changing intervals."""
        if len(self._gaps) < 2:
            return False
        typical = sorted(self._gaps)[len(self._gaps) // 2]
        return any(abs(gap - typical) > typical / 4 + Fraction(1, 500) for gap in self._gaps)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found while reading."""
        notes = [UNEVEN_NOTE] if self.uneven else []
        if self.skipped:
            notes.append(f"{self.skipped} packets before its first whole picture were skipped")
        return tuple(notes)

    def _note_time(self, picture: VideoFrame) -> None:
        if picture.pts is None or picture.time_base is None:
            return
        time = picture.pts * picture.time_base
        if self._last is not None:
            self._gaps.append(time - self._last)
        self._last = time
        shown_for = (getattr(picture, "duration", 0) or 0) * picture.time_base
        self._end = time + max(shown_for, 1 / self.fps)


def isinstance_of_video(picture: object) -> bool:
    """Whether a decoded thing is a picture; a damaged header can turn a stream into something else."""
    from av import VideoFrame

    return isinstance(picture, VideoFrame)


def first_frame(path: Path) -> VideoFrame:
    """The first frame of a video file; a ClipError where there is none."""
    reader = VideoReader(path, Fraction(1))
    try:
        for frame in reader.frames():
            return frame
    except DamagedError as error:
        raise ClipError(f"{path}: its first frame cannot be decoded ({error}); get a whole copy of it") from None
    raise ClipError(f"{path}: there are no frames in its video; give another file")


def count_packets(path: Path) -> int:
    """How many frames a video file seems to have, without decoding them."""
    count = 0
    try:
        with open_video(path) as (container, stream):
            for packet in container.demux(stream):
                count += packet.size > 0
    except av_errors():
        pass
    return count


def promised_end(container: Any, stream: Any) -> Fraction | None:
    """When the last frame ends, in seconds, for MP4 and Matroska files that say so; None for others.

    Matroska's tags are per stream; its overall duration counts only where video is all there is.
    """
    if "mp4" in container.format.name and stream.duration:
        return ((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base)
    if "matroska" not in container.format.name:
        return None
    for key, text in stream.metadata.items():
        if key.startswith("DURATION") and (m := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d{1,9})?)", text)):
            return int(m[1]) * 3600 + int(m[2]) * 60 + Fraction(m[3])
    if len(container.streams) == 1 and container.duration:
        return Fraction(container.duration, 1_000_000)
    return None


def cut_mark(path: Path, format_name: str, end_of_data: int) -> str:
    """Signs of a cut in formats that FFmpeg reads to the cut without a word, or ''."""
    size = path.stat().st_size
    if format_name == "yuv4mpegpipe" and end_of_data < size:
        return "its last frame is incomplete"
    if format_name == "gif":
        with path.open("rb") as file:
            file.seek(max(0, size - 64))
            # Some writers pad with zeros behind the trailer.
            if not file.read().rstrip(b"\0").endswith(b";"):
                return "its end is missing"
    return ""


def reason_of(error: Exception) -> str:
    """FFmpeg's words for an error, as part of a sentence."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text[:1].lower() + text[1:]
