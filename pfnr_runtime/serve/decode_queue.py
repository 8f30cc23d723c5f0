"""The one thread that decodes for all viewers, in an order that avoids switching between sessions."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.playback.statistics import Samples
from pfnr_runtime.video.frames import Frame

# Switching sessions takes time, so requests for the current session go first, for this long.
PATIENCE_SECONDS = 0.25
RATE_SECONDS = 5.0  # window over which frames per second are counted
STUCK_SECONDS = 60.0  # no usable device takes this long for a frame


@dataclass(frozen=True)
class Decoded:
    """A frame, and the seconds that decoding it took."""

    frame: Frame
    seconds: float


@dataclass(frozen=True)
class _Job:
    session: int
    index: int
    since: float
    future: Future[Decoded]


class DecodeQueue:
    """Decodes requested frames, one at a time; a context manager.

    decode(session, index): returns a frame; called by this thread only. clock: seconds, monotonic.
    """

    def __init__(self, decode: Callable[[int, int], Frame], clock: Callable[[], float] = time.monotonic) -> None:
        self._decode, self._clock = decode, clock
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._session: int | None = None
        self._since: float | None = None
        self._open = True
        self._times, self._done = Samples(), deque[float](maxlen=10_000)
        self._failed = 0
        self._thread = threading.Thread(target=self._run, name="pfnr serve decode", daemon=True)

    def submit(self, session: int, index: int) -> Future[Decoded]:
        """Queue a frame; the future carries what the decoder raises, and can be cancelled while it waits."""
        future: Future[Decoded] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("the decode thread is closed")
            self._waiting.append(_Job(session, index, self._clock(), future))
            self._changed.notify()
        return future

    @property
    def healthy(self) -> bool:
        """Whether the thread runs and no decode has hung."""
        with self._changed:
            stuck = self._since is not None and self._clock() - self._since > STUCK_SECONDS
        return self._thread.is_alive() and not stuck

    def to_json(self) -> dict[str, Any]:
        """Frames decoded and failed, recent frames per second, queue length, decode times in milliseconds."""
        with self._changed:
            now = self._clock()
            lately = sum(1 for moment in self._done if now - moment <= RATE_SECONDS)
            return {
                "decoded": self._times.count,
                "failed": self._failed,
                "fps": lately / RATE_SECONDS,
                "waiting": sum(not job.future.cancelled() for job in self._waiting),
                "decode_ms": self._times.milliseconds(),
            }

    def close(self) -> None:
        """Let the decode under way finish, and cancel those that wait."""
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        while self._waiting:
            self._waiting.popleft().future.cancel()

    def __enter__(self) -> DecodeQueue:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                frame = self._decode(job.session, job.index)
            except BaseException as error:  # raised again where the frame is awaited
                with self._changed:
                    self._failed, self._since = self._failed + 1, None
                job.future.set_exception(error)
                continue
            with self._changed:
                now = self._clock()
                seconds = now - (self._since if self._since is not None else now)
                self._since = None
                self._times.add(seconds)
                self._done.append(now)
            job.future.set_result(Decoded(frame, seconds))

    def _next_job(self) -> _Job | None:
        with self._changed:
            while self._open:
                while self._waiting:
                    job = self._pick()
                    if job.future.set_running_or_notify_cancel():
                        self._session, self._since = job.session, self._clock()
                        return job
                self._changed.wait()
        return None

    def _pick(self) -> _Job:
        """The oldest job, or one of the current session while the oldest has not waited long."""
        chosen = 0
        if self._clock() - self._waiting[0].since < PATIENCE_SECONDS:
            sessions = [job.session for job in self._waiting]
            chosen = sessions.index(self._session) if self._session in sessions else 0
        job = self._waiting[chosen]
        del self._waiting[chosen]
        return job
