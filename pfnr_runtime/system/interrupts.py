"""Deferring Ctrl-C where it would be lost.

Python raises KeyboardInterrupt in whatever Python code runs next. If that is a callback from FFmpeg, PyAV prints
and drops the exception, and the program continues as if Ctrl-C had not been pressed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Defer a Ctrl-C inside the block until the block ends.

    Does nothing outside the main thread, where Python never handles signals, or where Python does not handle
    Ctrl-C.
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
