"""A playback in made-up time: the real player, with a decoder and a screen that only take time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pfnr_runtime.playback.player import End, Job, Player, Show, Wait

CAPACITY = 4


@dataclass
class Simulation:
    """Runs `player` from time 0. cost: seconds a decode takes, by frame. shown: (time, frame, lateness)."""

    player: Player
    cost: Callable[[int], float]
    now: float = 0.0
    ready: list[Job] = field(default_factory=list)
    shown: list[tuple[float, int, float]] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)
    skipped: int = 0
    dropped: int = 0
    ended: bool = False
    _job: Job | None = None
    _done: float = 0.0

    def run(self, until: float) -> None:
        """Go on until this time or the end."""
        while not self.ended:
            self._start_decode()
            wait = self._present()
            times = [t for t in (self._done if self._job else None, wait, until) if t is not None]
            if self.ended:
                return
            if min(times) >= until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            if self._job is not None and self._done <= self.now:
                if self._job.serial == self.player.route.serial:
                    self.ready.append(self._job)
                self._job = None

    def _start_decode(self) -> None:
        self.ready = [job for job in self.ready if job.serial == self.player.route.serial]
        if self._job is None and len(self.ready) < CAPACITY:
            expected = self.cost(-1) if self.decoded else 0.0
            self._job = self.player.take_job(self.now, expected)
            if self._job is not None:
                self.decoded.append(self._job.frame)
                self._done = self.now + self.cost(self._job.frame)

    def _present(self) -> float | None:
        while True:
            todo = self.player.present(self.now, [job.step for job in self.ready])
            match todo:
                case Show(step, dropped):
                    job = next(job for job in self.ready if job.step == step)
                    self.ready = self.ready[self.ready.index(job) + 1 :]
                    self.dropped += dropped
                    self.skipped += job.skipped
                    self.shown.append((self.now, job.frame, self.player.showed(step, self.now)))
                    self._start_decode()
                case Wait(until):
                    return until
                case End():
                    self.ended = True
                    return None
