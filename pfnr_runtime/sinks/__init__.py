"""Sinks: where frames go, chosen by a URI such as out.mp4, frames/%05d.png, - (a pipe), md5: or null:.

A module of this package that has a `SINK` record is a sink; adding one is adding a file.
"""

from __future__ import annotations

from typing import Any

from pfnr_runtime.errors import UsageError
from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.system.records import find_records
from pfnr_runtime.video.record import VideoRecord


def sink_kinds() -> tuple[SinkKind, ...]:
    """Every sink, by name."""
    return tuple(sorted(find_records(__name__, __path__, "SINK"), key=lambda kind: kind.name))


def find_sink(uri: str) -> SinkKind:
    """The kind of sink that `uri` selects; a UsageError lists them if none takes it."""
    kinds = sink_kinds()
    for kind in kinds:
        if kind.accepts(uri):
            return kind
    known = ", ".join(kind.selects for kind in kinds)
    raise UsageError(f"{uri!r} names no output that pfnr can write; use one of: {known}")


def open_sink(uri: str, video: VideoRecord, frames: int, **options: Any) -> Sink:
    """Start writing `frames` frames of `video` to `uri`; a UsageError or SinkError says why it cannot.

    The sink chooses options left at None; an option that it lacks is a UsageError.
    """
    kind = find_sink(uri)
    given = {name: value for name, value in options.items() if value is not None}
    if foreign := sorted(given.keys() - kind.options):
        takers = ", ".join(k.selects for k in sink_kinds() if given.keys() <= k.options) or "no output"
        raise UsageError(f"{uri} takes no --{foreign[0]}; it is for {takers}")
    return kind.open(uri, video, frames, **given)
