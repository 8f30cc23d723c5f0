"""The decode thread: asks the player what to decode, and keeps a few frames ready for the screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pfnr_runtime.errors import CancelledError
from pfnr_runtime.playback.cost import RecentCost
from pfnr_runtime.playback.player import Job, Player
from pfnr_runtime.video.frames import Frame

QUEUE_FRAMES = 4


class FrameSource(Protocol):
    """What decodes: used only by the decode thread, except for `cancel`.

    cancel: callable from another thread; only the frame under way may end in a CancelledError.
    """

    def frame(self, session: int, index: int) -> Frame: ...
    def cancel(self) -> None: ...


@dataclass(frozen=True)
class Ready:
    """A decoded frame in the queue. seconds: what decoding it took."""

    job: Job
    frame: Frame
    seconds: float


@dataclass(frozen=True)
class Failure:
    """A frame that could not be decoded, and why."""

    job: Job
    error: BaseException


class DecodeAhead:
    """Decodes ahead of the screen, at most `capacity` frames, until `close`; a context manager.

    lock guards the player: hold it for every use of the player, and call `notify` after a command. wake: called,
    without the lock, when the queue has something new.
    """

    def __init__(
        self,
        source: FrameSource,
        player: Player,
        wake: Callable[[], None],
        *,
        capacity: int = QUEUE_FRAMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.RLock()
        self.stale = 0  # frames decoded for a place that playback has left
        self._changed = threading.Condition(self.lock)
        self._source, self._player, self._wake, self._clock = source, player, wake, clock
        self._capacity = capacity
        self._ready: deque[Ready] = deque()
        self._failure: Failure | None = None
        self._under_way: Job | None = None
        self._costs = RecentCost()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="pfnr decode", daemon=True)

    def steps(self) -> list[int]:
        """The steps that are ready, in order, after dropping frames of places that playback has left."""
        self._drop_stale()
        return [item.job.step for item in self._ready]

    def take(self, step: int) -> Ready:
        """Take the ready frame of `step`; it and all earlier ones leave the queue."""
        while True:
            item = self._ready.popleft()
            self._changed.notify()
            if item.job.step == step:
                return item

    def failure(self) -> Failure | None:
        """Why the frame that the player waits for could not be decoded, reported once; None if it could."""
        with self.lock:
            failure, self._failure = self._failure, None
            return failure

    def notify(self) -> None:
        """Re-read the player's wishes after a command."""
        with self.lock:
            self._drop_stale()
            if self._under_way is not None and self._is_stale(self._under_way):
                self._source.cancel()
            self._changed.notify()

    @property
    def cost(self) -> float:
        """The expected seconds of a decode: the median of the last ones, 0 before there are any."""
        return self._costs.seconds

    def close(self) -> None:
        """Cancel the decode under way, and stop."""
        with self.lock:
            self._open = False
            if self._under_way is not None:
                self._source.cancel()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> DecodeAhead:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        while (job := self._wait_for_job()) is not None:
            start = self._clock()
            try:
                frame = self._source.frame(job.session, job.frame)
            except CancelledError:
                with self.lock:
                    self._under_way = None
                    self.stale += 1
            except BaseException as error:  # raised again in the main thread
                with self.lock:
                    self._under_way = None
                    if not self._is_stale(job):
                        self._failure = Failure(job, error)
            else:
                seconds = self._clock() - start
                with self.lock:
                    self._under_way = None
                    self._costs.add(seconds)
                    if self._is_stale(job):
                        self.stale += 1
                    else:
                        self._ready.append(Ready(job, frame, seconds))
            self._wake()

    def _wait_for_job(self) -> Job | None:
        with self.lock:
            while self._open:
                if len(self._ready) < self._capacity and self._failure is None:
                    job = self._player.take_job(self._clock(), self.cost)
                    if job is not None:
                        self._under_way = job
                        return job
                self._changed.wait()
        return None

    def _is_stale(self, job: Job) -> bool:
        """Whether playback has left the job's place."""
        return job.serial != self._player.route.serial

    def _drop_stale(self) -> None:
        while self._ready and self._is_stale(self._ready[0].job):
            self._ready.popleft()
            self.stale += 1
            self._changed.notify()
