"""From a decoder to a sink, frame after frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pfnr_runtime.sinks.base import Sink
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_runtime.video.frames import FrameBatch


class FrameBatches(Protocol):
    """A source of frames: a `VideoDecoder`, or one slowed down."""

    def iter(self, frames: Iterable[int], *, batch_size: int | None = None) -> Iterator[FrameBatch]: ...


def write_frames(
    decoder: FrameBatches,
    frames: Sequence[int],
    sink: Sink,
    *,
    batch: int | None = None,
    progress: Progress = SILENT,
) -> None:
    """Decode `frames` in order, `batch` at a time (by default the engine's choice), and write each."""
    progress.stage("decoding", len(frames))
    for part in decoder.iter(frames, batch_size=batch):
        for frame in part:
            sink.write(frame)
            progress.advance()
