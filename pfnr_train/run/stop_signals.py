"""Ctrl-C, SIGTERM and a closed terminal as a request to stop, granted where the work can be left whole.

Without this a training that is told to stop would lose everything since its state was last saved.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from pfnr_runtime.system.interrupts import INTERRUPTS, SAME_SECONDS

NOTICE = "stopping after this step; once more stops at once\n"


class StopSignals:
    """What has been asked for since `listen` began.

    Inside `deferred` the first signal only sets `requested`; a second one, or any outside it, raises
    KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferring = False
        self._last = -SAME_SECONDS

    @classmethod
    @contextlib.contextmanager
    def listen(cls) -> Iterator[StopSignals]:
        """Handle the signals in this block; only the main thread can, elsewhere they stay as they are."""
        stop = cls()
        if threading.current_thread() is not threading.main_thread():
            yield stop
            return
        numbers = [n for n in INTERRUPTS if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, stop._handle) for number in numbers}
        try:
            yield stop
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that looks at `requested` often."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last < SAME_SECONDS:
            return
        self._last = now
        if not self._deferring or self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # Not through sys.stderr, which may be in the middle of a write.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), NOTICE.encode())
