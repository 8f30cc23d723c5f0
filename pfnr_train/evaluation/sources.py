"""Finding a session's source frames again, and making sure that they are the ones it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError, UsageError
from pfnr_train.clips import SCALINGS, read_clip
from pfnr_train.library.library import Library
from pfnr_train.library.record import SessionRecord


def source_frames(record: SessionRecord, library_path: Path, clip: Path | None = None) -> NDArray[np.uint8]:
    """The frames a session was trained on: uint8 [N, H, W, 3].

    Read from `clip`, or from where the library remembers it. A ClipError if the clip is gone, unreadable,
    or gives other frames than the session was trained on; of imported sessions none of this is known, and
    the clip named is believed.
    """
    video = record.video
    if clip is None and not record.source_path:
        raise ClipError(f"no source known of {video.name!r}; say which clip it is")
    path = clip if clip is not None else library_path.resolve().parent / record.source_path
    span = slice(video.source_start, video.source_start + video.frames)
    # A record does not say how its clip was scaled; the digest of its frames does.
    for scaling in SCALINGS:
        found = read_clip(path, span, (video.width, video.height), scaling=scaling)
        if not record.source_sha256 or found.sha256 == record.source_sha256:
            return found.frames
        if found.fit.is_identity:
            break
    raise ClipError(
        f"{path}: frames {span.start}:{span.stop} are not those that {video.name!r} was trained on; "
        "name the right clip"
    )


def parse_overrides(library: Library, texts: list[str]) -> dict[int, Path]:
    """'SESSION=PATH' texts as {session index: path}; a UsageError names a malformed one."""
    overrides = {}
    for text in texts:
        session, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(f"--clip {text!r} is not SESSION=PATH, such as 0=clips/bunny.mp4")
        overrides[library.find(session)] = Path(path)
    return overrides
