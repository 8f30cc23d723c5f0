"""Decoding a video file picture by picture, and detecting what is damaged or missing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.container import open_video
from pfnr_train.clips.damage import DamageTracker
from pfnr_train.clips.ffmpeg_log import av_errors, listening
from pfnr_train.clips.file_end import missing_end, promised_end
from pfnr_train.clips.picture import Picture, orientation
from pfnr_train.clips.timing import FrameClock

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet

# Formats that may start mid-stream: packets before the first whole picture are not damage.
JOINED_MIDWAY = {"mpegts", "h264", "hevc", "mpeg", "mpegvideo", "m4v"}
# Streams without a container: FFmpeg makes up 25 frames per second unless the stream itself says otherwise.
BARE_STREAMS = {"h264", "hevc", "vvc", "m4v", "mjpeg", "mpegvideo", "obu", "cavsvideo", "dirac"}
# Formats with a duration for every frame and no rate: FFmpeg's average counts how long the last one is held.
NO_RATE = {"gif", "apng"}
# Decoders that support transparency where FFmpeg's own drop it.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Consecutive errors without a packet, after which a file counts as ended.
MAX_ERRORS = 100


class VideoReader:
    """The pictures of one video file in display order, including damaged ones.

    path: the file. stream: index of its stream, None for the best. with_alpha: whether transparency that
    FFmpeg's own decoders leave out is decoded. Iterate `pictures` once; the rest is known so far as it was read.
    """

    def __init__(self, path: Path, stream: int | None = None, with_alpha: bool = True) -> None:
        self.path = path
        self.damage = DamageTracker()
        self.skipped = 0
        self.last_is_doubtful = False
        self._stream = stream
        self._with_alpha = with_alpha
        self._starts: list[int | None] = []
        self._durations: list[int] = []
        self._base: Fraction | None = None
        self._stated: tuple[Fraction, ...] = ()
        self._has_times = True
        self._may_join = False
        self._declared = 0
        self._promised: Fraction | None = None
        self._missing = ""
        self._waiting: set[int] = set()

    def pictures(self) -> Iterator[Picture]:
        """Pictures in order; a ClipError where the file cannot be opened."""
        with open_video(self.path, stream=self._stream) as video:
            container, stream = video.container, video.stream
            name = container.format.name
            self._declared = stream.frames
            self._promised = promised_end(container, stream)
            self._base = stream.time_base
            self._stated = stated_rates(stream, name)
            self._has_times = name not in BARE_STREAMS
            self._may_join = name in JOINED_MIDWAY
            decoder = self._decoder(stream)
            packets = container.demux(stream)
            end_of_data, errors = 0, 0
            while errors < MAX_ERRORS:
                packet: Packet | None = None
                frames: list[Any] = []
                reason, between = "", False
                with listening() as heard:
                    try:
                        packet = next(packets)
                        self.damage.packet(packet.pts)
                        between = bool(heard.damage())
                        frames = decoder.decode(packet if packet.size else None)
                    except StopIteration:
                        break
                    except av_errors() as error:
                        if isinstance(error, EOFError):
                            break
                        reason = reason_of(error)
                    reason = heard.damage() or reason
                if packet is None:
                    errors += 1
                else:
                    errors = 0
                    end_of_data = max(end_of_data, (packet.pos or 0) + packet.size)
                    reason = reason or ("its packet is marked as corrupt" if packet.is_corrupt else "")
                    self._note_packet(packet)
                if reason:
                    self._note_damage(reason, packet, bool(frames), between or packet is None)
                for frame in frames:
                    if is_picture(frame):
                        self._note_frame(frame)
                        yield Picture(frame, orientation(frame))
            self._missing = missing_end(self.path, name, end_of_data)
            self.damage.close(len(self._starts))
            # A GIF cut inside a picture still gives that picture, half drawn.
            self.last_is_doubtful = bool(self._missing) and name == "gif"

    def clock(self, start: int, stop: int) -> FrameClock:
        """The times of frames `start` to `stop` - 1; a bare stream has none, FFmpeg makes them up."""
        after = self._starts[stop] if stop < len(self._starts) else None
        if not self._has_times:
            return FrameClock((), (), None)
        return FrameClock(self._starts[start:stop], self._durations[start:stop], self._base, self._stated, after)

    def shortfall(self) -> tuple[str, str]:
        """After the last frame: (why the file must have been longer once, what its header promises in vain).

        Either is '' if it does not apply. Only the file's structure proves a cut: a promise may be stale.
        """
        kept, promise = True, ""
        starts = [s for s in self._starts if s is not None]
        if self._promised is not None and self._base is not None and len(starts) > 1:
            gaps = [b - a for a, b in pairwise(starts)]
            end = starts[-1] + max(self._durations[-1], sorted(gaps)[len(gaps) // 2])
            kept = end * self._base + max(gaps) * self._base / 2 >= self._promised
            promise = f"its header promises {float(self._promised):.2f} seconds"
        elif self._promised is None and self._declared:
            kept = len(self._starts) >= self._declared
            promise = f"its header promises {self._declared} frames"
        if kept:
            return self._missing if not promise or self.last_is_doubtful else "", ""
        return (f"{promise}, and {self._missing}", "") if self._missing else ("", promise)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was found while reading, except times and damage."""
        if not self.skipped:
            return ()
        return (f"{self.skipped} packets before its first whole picture were skipped: it begins there",)

    def _decoder(self, stream: Any) -> Any:
        from av import CodecContext

        context = stream.codec_context
        has_alpha = any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())
        name = ALPHA_DECODERS.get(context.name) if has_alpha else None
        if name and self._with_alpha:
            try:
                alpha: Any = CodecContext.create(name, "r")
                alpha.extradata = context.extradata
                context = alpha
            except av_errors():
                pass
        # One thread, so that FFmpeg's messages arrive in this thread and concern the current packet.
        context.thread_count = 1
        return context

    def _note_packet(self, packet: Packet) -> None:
        if packet.size and packet.pts is not None and not packet.is_discard:
            self._waiting.add(packet.pts)

    def _note_damage(self, reason: str, packet: Packet | None, gave_frames: bool, between: bool) -> None:
        before_first = not self._starts and not gave_frames
        if before_first and packet is not None and (self._may_join or not packet.is_keyframe):
            self.skipped += 1
            return
        self.damage.sign(reason, packet.pts if packet is not None and packet.size else None, between)

    def _note_frame(self, frame: VideoFrame) -> None:
        number, pts = len(self._starts), frame.pts
        if frame.is_corrupt:
            self.damage.sign("its data is incomplete", pts)
        if pts is not None:
            self._note_lost(pts, number)
        seconds = None if pts is None or self._base is None else (pts - (self._first or 0)) * self._base
        if not self._starts:
            seconds = None if pts is None else Fraction(0)
        self.damage.frame(number, pts, bool(frame.key_frame), seconds)
        self._starts.append(pts)
        self._durations.append(getattr(frame, "duration", 0) or 0)

    @property
    def _first(self) -> int | None:
        return self._starts[0] if self._starts else None

    def _note_lost(self, pts: int, number: int) -> None:
        """A hole in the times of frames where there was a packet: the decoder dropped its picture."""
        passed = {p for p in self._waiting if p <= pts}
        self._waiting -= passed
        last = self._starts[-1] if number else None
        if number < 2 or last is None or self._starts[-2] is None or not self.damage.ordered:
            return
        lost = [p for p in passed if last < p < pts]
        if lost and 2 * (pts - last) > 3 * (last - self._starts[-2]):
            self.damage.sign("frames are missing", max(lost))


def stated_rates(stream: Any, format_name: str) -> tuple[Fraction, ...]:
    """The rates that FFmpeg derives from a stream's header, the likeliest first."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return tuple(Fraction(r) for r in (rates[1:] if format_name in NO_RATE else rates) if r)


def is_picture(decoded: object) -> bool:
    """Whether a decoded thing is a picture; a damaged header can turn a stream into something else."""
    from av import VideoFrame

    return isinstance(decoded, VideoFrame)


def first_picture(path: Path, stream: int | None = None) -> Picture:
    """The first picture of a video file; a ClipError where there is none."""
    reader = VideoReader(path, stream)
    for picture in reader.pictures():
        return picture
    if reader.damage.found:
        raise ClipError(
            f"{path}: its first frame cannot be decoded ({reader.damage.found[0].reason}); get an intact copy"
        )
    raise ClipError(f"{path}: there are no frames in its video; give another file")


def count_packets(path: Path, stream: int | None = None) -> int:
    """The apparent number of frames in a video file, without decoding."""
    return len(packet_times(path, stream)[0])


def packet_times(path: Path, stream: int | None = None, most: int | None = None) -> tuple[list[Any], FrameClock]:
    """The times of the packets of frames in ticks, in decoding order, as far as the file can be read, and the
    clock that they make.

    most: largest number of packets to read, None for all.
    """
    times: list[Any] = []
    with listening(), open_video(path, stream=stream) as video:
        try:
            for packet in video.container.demux(video.stream):
                if packet.size and not packet.is_discard:
                    times.append(packet.pts)
                if len(times) == most:
                    break
        except av_errors():
            pass
        shown = sorted(times) if None not in times else times
        # Frames that are shown early may be among the packets not read.
        shown = shown[: -min(16, len(shown) // 2)] if len(times) == most else shown
        stated = stated_rates(video.stream, video.container.format.name)
        return times, FrameClock(shown, [0] * len(shown), video.stream.time_base, stated)


def reason_of(error: Exception) -> str:
    """FFmpeg's words for an error, as part of a sentence."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text[:1].lower() + text[1:]
