"""SIGTERM and a closed terminal as interrupts, so that they leave nothing half-written; interrupts held back.

Python raises KeyboardInterrupt in whatever Python code runs next. If that is a callback from FFmpeg, PyAV prints
and drops the exception, and the program continues as if Ctrl-C had not been pressed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Ctrl-C, a request to stop, a terminal that was closed.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A shell and its terminal both say that the terminal is closed: what comes this soon is the same.
SAME_SECONDS = 2.0


def interrupt_on_signals() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does; only in the main thread.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    last = -SAME_SECONDS

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SAME_SECONDS:
            last = now
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Defer an interrupt inside the block until the block ends.

    Does nothing outside the main thread, where Python never handles signals, and nothing about signals that Python
    does not handle.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: handler for number in INTERRUPTS if callable(handler := signal.getsignal(number))}
    held: list[tuple[int, FrameType | None]] = []
    for number in previous:
        signal.signal(number, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if held:
            previous[signal.Signals(held[0][0])](*held[0])
