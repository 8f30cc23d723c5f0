"""Describing a clip from its header and first frame."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.colour import HDR_TRANSFERS, describe_colour, with_curve
from pfnr_train.clips.container import check_size, open_video
from pfnr_train.clips.ffmpeg_log import av_errors
from pfnr_train.clips.info import DEFAULT_FPS, MAX_FPS, ClipInfo, choose_fps, sane_aspect
from pfnr_train.clips.picture import TILTED_NOTE, Picture
from pfnr_train.clips.read_images import DamagedError, gaps_note, is_pattern, list_images, read_images
from pfnr_train.clips.read_video import BARE_STREAMS, first_picture, packet_times
from pfnr_train.clips.streams import streams_note

MADE_UP_RATE = Fraction(7919, 331)
# Packets whose times give a clip's rate before its frames are read.
PACKETS_TIMED = 500
# Formats stored in passes; their frames have no fields.
STORED_IN_PASSES = {"png", "apng", "gif"}


def probe(path: str | PathLike[str], fps: Fraction | None = None, stream: int | None = None) -> ClipInfo:
    """Describe the clip at `path`: a video file, a folder of images, or a pattern such as frames/%05d.png.

    fps, in frames per second, overrides the file's own rate. stream: index of the stream in a video file, as
    ffprobe shows it, None for the best. A ClipError says why it is not a clip.
    """
    where = Path(path)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ClipError(f"{fps} frames per second is outside 0 to {MAX_FPS}; give another rate")
    if not holds_images(where):
        return _probe_video(where, fps, stream)
    if stream is not None:
        raise ClipError(f"{where}: a folder of images has no stream {stream}; leave out `stream`")
    return _probe_images(where, fps)


def holds_images(path: Path) -> bool:
    """Whether `path` is a folder or a numbered pattern rather than one file."""
    try:
        return path.is_dir() or is_pattern(path)
    except (OSError, ValueError) as error:
        raise ClipError(f"{path}: {getattr(error, 'strerror', None) or error}; check the path") from None


def _probe_images(path: Path, fps: Fraction | None) -> ClipInfo:
    images = list_images(path)
    try:
        picture = next(read_images(images))
    except DamagedError as error:
        raise ClipError(f"{path}: its first image cannot be read ({error}); replace it") from None
    notes: tuple[str, ...] = ()
    if fps is None:
        fps, notes = DEFAULT_FPS, (f"images have no frame rate: {DEFAULT_FPS} assumed",)
    notes += gaps_note(images)
    info = ClipInfo(path, "images", 0, 0, len(images), fps, duration=Fraction(len(images)) / fps, notes=notes)
    return _describe(info, picture, "png")


def _probe_video(path: Path, fps: Fraction | None, wanted: int | None) -> ClipInfo:
    with open_video(path, stream=wanted) as video:
        container, stream = video.container, video.stream
        index, codec = stream.index, stream.codec_context.name
        bare = container.format.name in BARE_STREAMS
        declared = declared_frames(container, stream, path)
        aspect, notes = sane_aspect(_aspect(stream))
        duration = _duration(container, stream)
        notes = streams_note(container, index, video.others) + notes
    if bare:
        found, duration = _rate_inside(path), None
    else:
        found = packet_times(path, index, PACKETS_TIMED)[1].timing().fps
    rate, rate_notes = choose_fps(fps, found, "file")
    if duration is None and declared:
        duration = declared / rate
    info = ClipInfo(path, "video", 0, 0, declared, rate, aspect, duration=duration, notes=rate_notes + notes)
    return _describe(replace(info, stream=index, others=video.others), first_picture(path, index), codec)


def _describe(info: ClipInfo, picture: Picture, codec: str) -> ClipInfo:
    """`info`, completed from its first picture."""
    frame, notes, aspect = picture.frame, info.notes, info.sample_aspect
    width, height = picture.upright_size
    check_size(width, height, info.path)
    colour, colour_notes = describe_colour(
        int(frame.colorspace), int(frame.color_range), frame.format.name, frame.format.is_rgb, height
    )
    colour = with_curve(colour, int(frame.color_trc), int(frame.color_primaries))
    notes += colour_notes
    if picture.turn is None:
        notes += (TILTED_NOTE,)
    elif any(picture.turn):
        notes += ("turned upright by its display matrix",)
        aspect = 1 / aspect if picture.turn[0] else aspect
    if frame.interlaced_frame and codec not in STORED_IN_PASSES:
        notes += ("interlaced: both fields of a frame stay woven together",)
    if transfer := HDR_TRANSFERS.get(int(frame.color_trc)):
        notes += (f"high dynamic range ({transfer}) is taken as it is, without tone mapping",)
    return replace(info, width=width, height=height, sample_aspect=aspect, colour=colour, notes=notes)


def declared_frames(container: Any, stream: Any, path: Path) -> int | None:
    """How many frames the header declares; None where it does not, where an edit list leaves some out, or
    where the file could not hold so many."""
    count = stream.frames or None
    if count and count > path.stat().st_size:
        return None
    if count and "mp4" in container.format.name and stream.duration and stream.average_rate:
        shown = stream.duration * Fraction(stream.time_base) * stream.average_rate
        return count if shown > count - 1 else None
    return count


def _aspect(stream: Any) -> Fraction | None:
    try:
        return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    except (ZeroDivisionError, ValueError):
        return None


def _duration(container: Any, stream: Any) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    return Fraction(container.duration, 1_000_000) if container.duration else None


def _rate_inside(path: Path) -> Fraction | None:
    """The rate stated in a raw stream: the one that survives when FFmpeg is given a different default."""
    options = {"framerate": f"{MADE_UP_RATE.numerator}/{MADE_UP_RATE.denominator}"}
    with open_video(path, options) as video:
        try:
            rate = video.stream.codec_context.framerate
        except av_errors():
            return None
        return None if not rate or abs(rate - MADE_UP_RATE) < Fraction(1, 1000) else Fraction(rate)
