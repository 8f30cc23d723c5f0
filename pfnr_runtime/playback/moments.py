"""Positions in a video as users type them: seconds, minutes and seconds, or a frame number."""

from __future__ import annotations

import re
from fractions import Fraction

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.record import VideoRecord

FRAME = re.compile(r"(\d{1,9})f", re.ASCII)
TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,6}(?:\.\d{1,9})?)", re.ASCII)


def parse_moment(text: str, video: VideoRecord) -> int:
    """'1.5', '0:01.5', '1:02:03' or '17f' as a frame number: the frame on screen then, or N at the end.

    A UsageError for anything else, or beyond the end.
    """
    if match := FRAME.fullmatch(text):
        number = int(match[1])
        beyond = number > video.frames
    elif match := TIME.fullmatch(text):
        hours, minutes, rest = (Fraction(part or 0) for part in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
        beyond = seconds > video.duration
        number = video.index_at(seconds) if seconds < video.duration else video.frames
    else:
        raise UsageError(
            f"{text!r} is not a position in a video; write seconds (1.5), 0:01.5, or a frame such as 17f"
        )
    if beyond:
        raise UsageError(
            f"{text} is beyond the end of {video.name!r}, which has {video.frames} frames, "
            f"{float(video.duration):g} seconds"
        )
    return number


def parse_span(start: str | None, end: str | None, video: VideoRecord) -> range:
    """Frames from `start` up to `end`, half-open; the whole video by default. A UsageError if there are none."""
    first = 0 if start is None else parse_moment(start, video)
    last = video.frames if end is None else parse_moment(end, video)
    if first >= last:
        raise UsageError(
            f"nothing to play from {start or '0'} to {end or 'the end'} of {video.name!r}, which has "
            f"{video.frames} frames, {float(video.duration):g} seconds"
        )
    return range(first, last)
