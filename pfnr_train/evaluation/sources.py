"""Finding a session's source frames again, and verifying that it was trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError, UsageError
from pfnr_train.clips import READINGS, SCALINGS, Clip, probe, read_clip
from pfnr_train.library.library import Library
from pfnr_train.library.record import SessionRecord


def source_frames(record: SessionRecord, library_path: Path, clip: Path | None = None) -> NDArray[np.uint8]:
    """The frames a session was trained on: uint8 [N, H, W, 3].

    Read from `clip`, or from the path stored in the library. A ClipError if the clip is gone, unreadable, or has
    different frames; imported sessions record none of this, so the named clip is trusted.
    """
    video = record.video
    if clip is None and not record.source_path:
        raise ClipError(f"the source of {video.name!r} is unknown; name its clip")
    path = clip if clip is not None else library_path.resolve().parent / record.source_path
    span, size = slice(video.source_start, video.source_start + video.frames), (video.width, video.height)
    if not record.source_sha256:
        return read_clip(path, span, size).frames
    for found in _ways_to_read(path, span, size):
        if found.sha256 == record.source_sha256:
            return found.frames
    read_clip(path, span, size)  # reports it if the clip has been damaged since
    raise ClipError(
        f"{path}: frames {span.start}:{span.stop} are not those that {video.name!r} was trained on; "
        "name the right clip"
    )


def _ways_to_read(path: Path, span: slice, size: tuple[int, int]) -> Iterator[Clip]:
    """The frames of a clip, read in every way that a session may have used, the likeliest first.

    A record does not tell the stream, the scaling, whether damage was tolerated, or whether a version before
    "exact" reading made it: the digest of the frames does.
    """
    failure: ClipError | None = None
    info = probe(path)
    for stream in (info.stream, *info.others):
        for scaling in SCALINGS:
            for reading in READINGS:
                try:
                    found = read_clip(
                        path, span, size, None, scaling, stream, tolerate_damage=True, reading=reading
                    )
                except ClipError as error:
                    failure = failure or error
                    continue
                yield found
            if failure is None and found.fit.is_identity:
                break
    if failure is not None:
        raise failure


def parse_overrides(library: Library, texts: list[str]) -> dict[int, Path]:
    """'SESSION=PATH' texts as {session index: path}; a UsageError names a malformed one."""
    overrides = {}
    for text in texts:
        session, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(f"`clip={text!r}` is not SESSION=PATH, such as 0=clips/bunny.mp4")
        overrides[library.find(session)] = Path(path)
    return overrides
