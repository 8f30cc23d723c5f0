"""What a clip is, from its header and its first frame."""

from __future__ import annotations

from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.colour import HDR_TRANSFERS, describe_colour
from pfnr_train.clips.container import av_errors, check_size, open_video
from pfnr_train.clips.info import DEFAULT_FPS, MAX_FPS, ClipInfo, choose_fps, sane_aspect
from pfnr_train.clips.picture import TILTED_NOTE, orientation, upright_size
from pfnr_train.clips.read_images import is_pattern, list_images, read_images
from pfnr_train.clips.read_video import DamagedError, first_frame

if TYPE_CHECKING:
    from av import VideoFrame

# Streams without a container: FFmpeg makes up 25 frames a second unless the stream itself says otherwise.
BARE_STREAMS = {"h264", "hevc", "vvc", "m4v", "mjpeg", "mpegvideo", "obu", "cavsvideo", "dirac"}
MADE_UP_RATE = Fraction(7919, 331)


def probe(path: str | PathLike[str], fps: Fraction | None = None) -> ClipInfo:
    """What lies at `path`: a video file, a folder of images, or a pattern such as frames/%05d.png.

    fps, in frames a second, overrides the file's own rate. A ClipError says why it is no clip.
    """
    where = Path(path)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ClipError(f"{fps} frames a second is outside 0 to {MAX_FPS}; give another rate")
    return _probe_images(where, fps) if holds_images(where) else _probe_video(where, fps)


def holds_images(path: Path) -> bool:
    """Whether `path` is a folder or a numbered pattern rather than one file."""
    try:
        return path.is_dir() or is_pattern(path)
    except (OSError, ValueError) as error:
        raise ClipError(f"{path}: {getattr(error, 'strerror', None) or error}; check the path") from None


def _probe_images(path: Path, fps: Fraction | None) -> ClipInfo:
    images = list_images(path)
    try:
        frame = next(read_images(images))
    except DamagedError as error:
        raise ClipError(f"{path}: its first image cannot be read ({error}); replace it") from None
    notes: tuple[str, ...] = ()
    if fps is None:
        fps, notes = DEFAULT_FPS, (f"images have no frame rate: {DEFAULT_FPS} assumed",)
    return _describe(path, "images", frame, len(images), fps, Fraction(1), Fraction(len(images)) / fps, notes)


def _probe_video(path: Path, fps: Fraction | None) -> ClipInfo:
    with open_video(path) as (container, stream):
        found = stream.average_rate or stream.guessed_rate or stream.base_rate
        bare = container.format.name in BARE_STREAMS
        declared = declared_frames(container, stream)
        aspect, aspect_notes = sane_aspect(_aspect(stream))
        duration = _duration(container, stream)
    if bare:
        found, duration = _rate_inside(path), None
    rate, notes = choose_fps(fps, found, "file")
    if duration is None and declared:
        duration = declared / rate
    return _describe(path, "video", first_frame(path), declared, rate, aspect, duration, notes + aspect_notes)


def _describe(
    path: Path,
    kind: str,
    frame: VideoFrame,
    frames: int | None,
    fps: Fraction,
    aspect: Fraction,
    duration: Fraction | None,
    notes: tuple[str, ...],
) -> ClipInfo:
    width, height = upright_size(frame)
    check_size(width, height, path)
    colour, colour_notes = describe_colour(
        int(frame.colorspace), int(frame.color_range), frame.format.name, frame.format.is_rgb, height
    )
    notes += colour_notes
    turn = orientation(frame)
    if turn is None:
        notes += (TILTED_NOTE,)
    elif any(turn):
        notes += ("turned upright as its display matrix says",)
        aspect = 1 / aspect if turn[0] else aspect
    if frame.interlaced_frame:
        notes += ("interlaced: both fields of a frame stay woven together",)
    if transfer := HDR_TRANSFERS.get(int(getattr(frame, "color_trc", 0))):
        notes += (f"high dynamic range ({transfer}) is taken as it is, without tone mapping",)
    return ClipInfo(path, kind, width, height, frames, fps, aspect, colour, duration, notes)


def declared_frames(container: Any, stream: Any) -> int | None:
    """How many frames the header declares; None where it does not, or where an edit list leaves some out."""
    count = stream.frames or None
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
    """The rate that a bare stream itself states: what remains when FFmpeg is told to make up another."""
    options = {"framerate": f"{MADE_UP_RATE.numerator}/{MADE_UP_RATE.denominator}"}
    with open_video(path, options) as (_, stream):
        try:
            rate = stream.codec_context.framerate
        except av_errors():
            return None
        return None if not rate or abs(rate - MADE_UP_RATE) < Fraction(1, 1000) else Fraction(rate)
