"""Ctrl-C and SIGTERM as a request to stop, granted where the work can be left whole.

Without this a training that is told to stop would lose everything since its state was last saved, and a
SIGTERM would leave temporary files behind.
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

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher passes on the signal that its terminal has sent as well, so two at once are one.
SAME_SECONDS = 2.0
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
        previous = {number: signal.signal(number, stop._handle) for number in SIGNALS}
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
