"""Choosing a file's video stream, as FFmpeg and players do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.ffmpeg_log import av_errors

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEFAULT, ATTACHED_PICTURE = 0x1, 0x400
# A cover has one packet; this many are read to see whether a stream has a second.
LOOKED_AT = 3000


def choose_stream(container: InputContainer, path: Path, wanted: int | None) -> tuple[int, tuple[int, ...]]:
    """The index of the stream to read, and those of the other videos in the file.

    wanted: an index as `ffprobe` shows it, or None for the best: moving pictures before covers and stills, then
    the default flag, then the most samples, then the first. Reads packets where there is a choice: open the file
    again afterwards. A ClipError if no stream is a video, or the requested one is not.
    """
    every = list(container.streams.video)
    videos = [s for s in every if not disposition(s) & ATTACHED_PICTURE]
    if wanted is not None:
        if wanted not in [s.index for s in every]:
            have = ", ".join(f"{s.index} ({describe(s)})" for s in every) or "none"
            raise ClipError(f"{path}: stream {wanted} is not a video; its video streams: {have}")
        return wanted, tuple(s.index for s in videos if s.index != wanted)
    if not videos:
        kinds = sorted({"text" if s.type == "subtitle" else s.type for s in container.streams})
        what = f"it holds only {' and '.join(kinds)}" if kinds else "it holds nothing"
        if every:
            what = "it holds only audio and a cover picture"
        raise ClipError(f"{path}: no video in this file ({what}); give a video file or a folder of images")
    if len(videos) > 1:
        videos = _moving(container, videos)
    best = max(videos, key=_rank)
    return best.index, tuple(s.index for s in videos if s is not best)


def streams_note(container: InputContainer, chosen: int, others: Sequence[int]) -> tuple[str, ...]:
    """A note that names the chosen stream and the others, if there are any."""
    if not others:
        return ()
    named = {s.index: f"{s.index} ({describe(s)})" for s in container.streams.video}
    rest = ", ".join(named[i] for i in others)
    return (f"video stream {named[chosen]} is used; choose another with `stream`: {rest}",)


def describe(stream: VideoStream) -> str:
    """Such as '480×270 h264'."""
    context: Any = stream.codec_context
    if context is None:
        return "no decoder"
    return f"{context.width}×{context.height} {context.codec.canonical_name}"


def disposition(stream: Any) -> int:
    """FFmpeg's disposition bits of a stream; PyAV has given them as several kinds of flag, once as none."""
    flags = getattr(stream, "disposition", 0)
    return int(getattr(flags, "value", flags))


def _rank(stream: VideoStream) -> tuple[bool, bool, int, bool, int]:
    context: Any = stream.codec_context
    if context is None:
        return False, False, 0, False, -stream.index
    # All else equal, a grey stream is most likely the other's transparency. Not `pix_fmt`: PyAV 17 crashes on it
    # where a stream's format is unknown.
    grey = context.format is not None and context.format.name.startswith("gray")
    return True, bool(disposition(stream) & DEFAULT), context.width * context.height, not grey, -stream.index


def _moving(container: InputContainer, videos: list[VideoStream]) -> list[VideoStream]:
    """Those of `videos` with more than one packet, or all of them where none has."""
    counts = {s.index: 0 for s in videos}
    try:
        for seen, packet in enumerate(container.demux(videos)):
            if packet.size:
                counts[packet.stream.index] += 1
            if min(counts.values()) > 1 or seen > LOOKED_AT:
                break
    except av_errors():
        pass
    return [s for s in videos if counts[s.index] > 1] or videos
