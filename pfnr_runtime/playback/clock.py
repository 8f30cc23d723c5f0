"""When frames are due: the arithmetic of pacing, on whatever monotonic clock the caller reads."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """A steady pace. A playback counts its frames in steps, whichever frames of a video they are.

    step is due at anchor (seconds of a monotonic clock); one more is due every `period` seconds, and stays on
    screen until then.
    """

    anchor: float
    step: int
    period: float

    def due(self, step: int) -> float:
        """When `step` is to appear, in seconds of the clock."""
        return self.anchor + (step - self.step) * self.period

    def with_period(self, period: float, step: int, now: float) -> Pace:
        """Another pace from `now` on, while `step` is on screen: as much of its time is over as before."""
        over = min(max((now - self.due(step)) / self.period, 0.0), 1.0)
        return Pace(now - over * period, step, period)


def first_on_time(pace: Pace, step: int, ready: float) -> int:
    """The first step, from `step` on, whose time on screen is not over at `ready` (seconds of the clock)."""
    return max(step, pace.step + math.floor((ready - pace.anchor) / pace.period))
