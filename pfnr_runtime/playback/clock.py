"""When frames are due: the arithmetic of pacing, on any monotonic clock.

A playback counts the frames it shows as steps; `Route` maps steps to frames of a video.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

from pfnr_runtime.playback.route import Route
from pfnr_runtime.video.frame_times import FrameTimes


class Pace(Protocol):
    """When each step is due, in seconds of the clock, and which step is current at a moment."""

    def due(self, step: int) -> float: ...
    def step_at(self, moment: float) -> int: ...


@dataclass(frozen=True)
class SteadyPace:
    """Steps at a constant rate: `step` is due at `anchor`, and one more every `period` seconds."""

    anchor: float
    step: int
    period: float

    def due(self, step: int) -> float:
        """When `step` is to appear, in seconds of the clock."""
        return self.anchor + (step - self.step) * self.period

    def step_at(self, moment: float) -> int:
        """The step whose time `moment` lies in."""
        return self.step + math.floor((moment - self.anchor) / self.period)


@dataclass(frozen=True)
class TablePace:
    """Steps of a route through a video with a table of times, each as long as its frame's duration.

    anchor: when `step` is due, in seconds of the clock. speed: times as fast as the video itself.
    """

    anchor: float
    step: int
    speed: float
    route: Route
    times: FrameTimes

    def due(self, step: int) -> float:
        """When `step` is to appear; one after the end of the route is due when the last frame's time is over."""
        return self.anchor + (self._ticks(step) - self._ticks(self.step)) * self._tick

    def step_at(self, moment: float) -> int:
        """The step current at `moment`: from the route's first to the one after its last."""
        route, ticks = self.route, self.times.ticks
        ahead = self._ticks(self.step) + (moment - self.anchor) / self._tick
        rest = ahead - (ticks[route.stop] - ticks[route.first])
        if rest < 0:
            return route.base + max(bisect_right(ticks, ticks[route.first] + ahead) - 1 - route.first, 0)
        turn = route.base + route.stop - route.first
        if not route.loop:
            return turn
        laps, rest = divmod(rest, ticks[route.stop] - ticks[route.start])
        frame = bisect_right(ticks, ticks[route.start] + rest) - 1
        return turn + int(laps) * (route.stop - route.start) + frame - route.start

    @property
    def _tick(self) -> float:
        """Seconds of the clock per tick."""
        return float(self.times.time_base) / self.speed

    def _ticks(self, step: int) -> int:
        """Ticks of the table from the route's first step to `step`."""
        route, ticks = self.route, self.times.ticks
        number = route.first + step - route.base
        if number <= route.stop:
            return ticks[number] - ticks[route.first]
        if not route.loop:
            return ticks[route.stop] - ticks[route.first]
        laps, rest = divmod(number - route.stop, route.stop - route.start)
        lap = ticks[route.stop] - ticks[route.start]
        return ticks[route.stop] - ticks[route.first] + laps * lap + ticks[route.start + rest] - ticks[route.start]


def first_on_time(pace: Pace, step: int, ready: float) -> int:
    """The first step, from `step` on, that is still on time at `ready` (seconds of the clock)."""
    return max(step, pace.step_at(ready))


def share_over(pace: Pace, step: int, now: float) -> float:
    """The fraction of `step`'s time that has passed at `now`, 0 to 1."""
    due = pace.due(step)
    return min(max((now - due) / (pace.due(step + 1) - due), 0.0), 1.0)
