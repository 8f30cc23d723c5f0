"""The player: what is shown, what comes next and when. Pure: no thread, no clock, no display.

The decode thread asks `take_job` what to decode; the screen side asks `present` what to do and reports with
`showed`; keys call the commands. All take the time as an argument. Not thread-safe: threads that share a player
share a lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pfnr_runtime.playback.clock import Pace, SteadyPace, TablePace, first_on_time, share_over
from pfnr_runtime.playback.route import Route
from pfnr_runtime.video.record import VideoRecord

SLOWEST, FASTEST = 0.01, 100.0


@dataclass(frozen=True)
class Job:
    """One frame to decode. skipped: frames before it that were passed over because they would have been late."""

    serial: int
    session: int
    step: int
    frame: int
    skipped: int


@dataclass(frozen=True)
class Show:
    """Show the ready frame of `step` now. dropped: ready frames before it whose time is over."""

    step: int
    dropped: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do until this time, in seconds of the clock; None: until a frame or a key arrives."""

    until: float | None


class End:
    """The last frame's time is over."""


class Player:
    """Plays one of `videos` (by session) from `start` up to `stop`, half-open frame numbers.

    - fps: replaces the videos' rates and tables of times.
    - speed: `SLOWEST` to `FASTEST`.
    - loop: begin again at the end.
    - timed: keep to the clock and skip what is late; otherwise every frame is shown as soon as it is decoded.
    """

    def __init__(
        self,
        videos: Mapping[int, VideoRecord],
        session: int,
        *,
        start: int = 0,
        stop: int | None = None,
        fps: Fraction | None = None,
        speed: float = 1.0,
        loop: bool = False,
        timed: bool = True,
    ) -> None:
        self.videos = videos if fps is None else {k: video.at_rate(fps) for k, video in videos.items()}
        self.speed = clamp_speed(speed)
        self.loop = loop
        self.timed = timed
        self.paused = False
        self.loop_points: tuple[int | None, int | None] = (None, None)
        self.pace: Pace | None = None
        self.shown_step = -1
        self._range = (session, start, videos[session].frames if stop is None else stop)
        self._awaited = 1  # frames to show as soon as they are ready, regardless of the clock
        self._next = 0
        self.position = start  # the frame on screen, or the target of a seek
        self.route = Route(0, session, start, 0, *self._range[1:], loop)

    @property
    def video(self) -> VideoRecord:
        """The video being played."""
        return self.videos[self.route.session]

    def stay(self, step: int) -> float:
        """Seconds of the clock for which the frame of `step` stays on screen."""
        return self.video.duration_seconds(self.route.frame(step) or 0) / self.speed

    def take_job(self, now: float, cost: float) -> Job | None:
        """The next frame to decode if a decode takes `cost` seconds from `now`; None at the end of the route."""
        step, route = self._next, self.route
        if self.pace is not None and not self.paused:
            step = first_on_time(self.pace, step, now + cost)
            if route.last_step is not None:  # the last frame is always shown
                step = min(step, max(route.last_step, self._next))
        frame = route.frame(step)
        if frame is None:
            return None
        skipped, self._next = step - self._next, step + 1
        return Job(route.serial, route.session, step, frame, skipped)

    def present(self, now: float, ready: Sequence[int]) -> Show | Wait | End:
        """What to do at `now` with the steps that are decoded, in order."""
        if self._awaited or not (self.timed or self.paused):
            if ready:
                return Show(ready[0], 0)
            return End() if self._finished and not self._awaited else Wait(None)
        if self.paused or self.pace is None:
            return Wait(None)
        if not ready:
            if not self._finished:
                return Wait(None)
            end = self.pace.due(self.shown_step + 1)
            return End() if now >= end else Wait(end)
        late = 0
        while late + 1 < len(ready) and now >= self.pace.due(ready[late + 1]):
            late += 1
        due = self.pace.due(ready[late])
        return Show(ready[late], late) if now >= due else Wait(due)

    def showed(self, step: int, now: float) -> float:
        """Note that `step` appeared at `now`; returns how late, in seconds (0 where no time was set)."""
        late = 0.0
        if self.pace is None:
            if self.timed and not self.paused:
                self.pace = self._paced(now, step)
        elif not self.paused:
            late = now - self.pace.due(step)
        self.shown_step = step
        self._awaited = max(0, self._awaited - 1)
        if not self._awaited:
            self.position = self.route.frame(step) or 0
        return late

    def toggle_pause(self, now: float) -> None:
        """Pause at the frame on screen, or resume after it."""
        self.paused = not self.paused
        if not self.paused and self.timed and not self._awaited:
            self.pace = self._paced(now, self.shown_step)

    def step(self, frames: int) -> None:
        """Pause, and show the next frame (1) or the previous one (-1); does nothing at either end."""
        self.paused = True
        if frames > 0:
            if self.route.frame(self.shown_step + self._awaited + 1) is not None:
                self._awaited += 1
        elif self.position > self.route.start:
            self.seek(self.position - 1)

    def seek(self, frame: int) -> None:
        """Show `frame` next, or the nearest one in the range being played."""
        route = self.route
        self._reroute(min(max(frame, route.start), route.stop - 1))

    def seek_by(self, seconds: float) -> None:
        """Seek by this much of the video's time, at least one frame."""
        video, least = self.video, 1 if seconds > 0 else -1
        if video.times is None:
            self.seek(self.position + (round(seconds * float(video.fps)) or least))
            return
        moment = video.pts(self.position) + Fraction(seconds)
        frame = 0 if moment < 0 else video.frames if moment >= video.duration else video.index_at(moment)
        self.seek(self.position + least if frame == self.position else frame)

    def set_speed(self, speed: float, now: float) -> None:
        """Play at this multiple of normal speed; the frame on screen keeps its share of time."""
        pace, step, self.speed = self.pace, self.shown_step, clamp_speed(speed)
        if pace is not None and not self.paused:
            self.pace = self._paced(now - share_over(pace, step, now) * self.stay(step), step)

    def toggle_loop(self) -> None:
        """Turn looping on or off."""
        self.loop = not self.loop
        self._reshape()

    def mark_loop_point(self) -> None:
        """Mark the start of a loop, then its end (the frame on screen is its last), then clear the loop."""
        a, b = self.loop_points
        if a is None:
            self.loop_points = (self.position, None)
        elif b is None:
            self.loop_points = (min(a, self.position), max(a, self.position) + 1)
        else:
            self.loop_points = (None, None)
        self._reshape()

    def switch(self, session: int, frame: int | None = None) -> bool:
        """Play another video from its beginning, or from `frame`; False if there is no such session."""
        if session not in self.videos:
            return False
        self.loop_points = (None, None)
        start, stop = self._limits(session)
        self._reroute(start if frame is None else frame, session=session, start=start, stop=stop, loop=self.loop)
        return True

    def neighbour(self, offset: int) -> int:
        """The session `offset` places after the current one, wrapping around."""
        sessions = sorted(self.videos)
        return sessions[(sessions.index(self.route.session) + offset) % len(sessions)]

    @property
    def settled(self) -> bool:
        """Whether every requested frame has been shown: none is pending."""
        return self._awaited == 0

    @property
    def _finished(self) -> bool:
        last = self.route.last_step
        return last is not None and self.shown_step >= last

    def _paced(self, due: float, step: int) -> Pace:
        """The pace by which `step` is due at `due`."""
        if self.video.times is None:
            return SteadyPace(due, step, self.stay(step))
        return TablePace(due, step, self.speed, self.route, self.video.times)

    def _limits(self, session: int) -> tuple[int, int]:
        chosen, start, stop = self._range
        return (start, stop) if session == chosen else (0, self.videos[session].frames)

    def _reshape(self) -> None:
        """Change what follows the frame on screen, without a break in time."""
        (start, stop), loop = self._limits(self.route.session), self.loop
        a, b = self.loop_points
        if a is not None and b is not None:
            start, stop, loop = a, b, True
        if self._awaited:  # the target of the seek is not on screen yet: keep it
            self._reroute(min(max(self.position, start), stop - 1), start=start, stop=stop, loop=loop)
            return
        base, serial = self.shown_step, self.route.serial + 1
        self.route = Route(serial, self.route.session, self.position, base, start, stop, loop)
        self._next = base + 1
        if self.pace is not None:
            self.pace = self._paced(self.pace.due(base), base)

    def _reroute(
        self,
        first: int,
        *,
        session: int | None = None,
        start: int | None = None,
        stop: int | None = None,
        loop: bool | None = None,
    ) -> None:
        """Show frame `first` as soon as it is ready and continue from it; None keeps the current value."""
        old = self.route
        self.route = Route(
            old.serial + 1,
            old.session if session is None else session,
            first,
            self._next,
            old.start if start is None else start,
            old.stop if stop is None else stop,
            old.loop if loop is None else loop,
        )
        self._awaited, self.pace, self.position = 1, None, first


def clamp_speed(speed: float) -> float:
    """`speed` within `SLOWEST` to `FASTEST`."""
    return min(max(speed, SLOWEST), FASTEST)
