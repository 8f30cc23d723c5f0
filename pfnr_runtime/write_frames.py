"""From a decoder to a sink, frame after frame, with a progress bar for whoever watches."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from pfnr_runtime.sinks.base import Sink
from pfnr_runtime.video.frames import FrameBatch


class FrameBatches(Protocol):
    """What gives frames: a `VideoDecoder`, or one slowed down."""

    def iter(self, frames: Iterable[int], *, batch_size: int | None = None) -> Iterator[FrameBatch]: ...


def write_frames(
    decoder: FrameBatches, frames: Sequence[int], sink: Sink, *, batch: int | None = None, quiet: bool = False
) -> None:
    """Decode `frames` in their order, `batch` at a time (the engine's choice by default), and write each."""
    with progress(len(frames), quiet) as advance:
        for part in decoder.iter(frames, batch_size=batch):
            for frame in part:
                sink.write(frame)
                advance()


@contextlib.contextmanager
def progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr if a person is watching; gives what to call after each frame."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate="")
        start = time.perf_counter()
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(task, advance=1, rate=f"{done / (time.perf_counter() - start):.1f} fps")

        yield advance
