"""Artifacts of continuous time: the session's time embedding is the input, instead of a table of N rows."""

from __future__ import annotations

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.time_table import TimeEmbedding
from pfnr_train.library.library import Library

FRAMES, CONTINUOUS = "frames", "continuous"
TIME_KINDS = {
    FRAMES: "frame numbers in: the N frames of the video, the stem folded into a table of them",
    CONTINUOUS: "the time embedding in: any time of the video, the whole stem in the graph",
}


def session_embedding(library: Library, index: int) -> TimeEmbedding:
    """The formula behind a session's time table; a UsageError where the session has a custom table."""
    session, config = library.sessions[index], library.config
    if config.canvas is not None:
        raise UsageError(
            "a canvas network decodes whole frames only, by cosines of time that belong to its frames; export it "
            f"with the time {FRAMES}"
        )
    if session.values.own_table:
        raise UsageError(
            f"session {index} ({session.record.video.name}) was imported with its own time table, made by other "
            f"code in float32, so our formula does not hold between its rows; export it with the time {FRAMES}"
        )
    return TimeEmbedding(
        config.embed_base, config.embed_levels, session.record.scalar, session.values.coarse_table
    )
