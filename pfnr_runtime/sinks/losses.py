"""What an output cannot record, to end its description."""

from __future__ import annotations

from pfnr_runtime.video.record import Colour, VideoRecord


def lost_times(video: VideoRecord) -> str:
    """For an output that has no frame times: '' where frames are evenly spaced, or there is only one."""
    if video.times is None or video.times.even:
        return ""
    return (
        f"; it cannot hold the variable frame rate ({float(video.times.rate):.4g} a second on average): "
        "write .mp4 or .mkv to keep it"
    )


def lost_colour(colour: Colour) -> str:
    """For an output that cannot record transfer and primaries: '' where they are the usual ones of the matrix."""
    return f"; it cannot record {colour.unusual}" if colour.unusual else ""
