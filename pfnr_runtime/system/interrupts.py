"""Holding Ctrl-C back where it would be lost.

Python raises KeyboardInterrupt in whatever Python code runs next. If that is a callback that FFmpeg called,
PyAV prints the exception and drops it, and the program goes on as if nobody had asked it to stop.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let a Ctrl-C that comes inside the block take effect when the block ends.

    Does nothing outside the main thread, where Python never handles signals, nor where Ctrl-C is not
    Python's to handle.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if held:
            previous(*held[0])
