"""The rate of a clip, or the time of each of its frames, from the frames' own times.

A header's rate is one guess among others: it counts if the frames agree with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_train.clips.info import MAX_FPS

Seconds = NDArray[np.float64]

# Rates that devices and standards use; a stream of milliseconds cannot tell them from their neighbours.
USUAL_RATES = (
    *(Fraction(n) for n in (24, 25, 30, 50, 60, 120, 240)),
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60)),
)
MAX_DENOMINATOR = 1001
# A last frame is assumed to last as long as the previous one, but no longer than this.
LONGEST_GUESS = 1.0
DISORDERED_NOTE = "its timestamps are out of order: frames are shown at a constant rate"
UNEVEN_NOTE = "its frames come at uneven times: each is shown when the source shows it"


@dataclass(frozen=True)
class Timing:
    """The timing of a clip.

    fps: frames per second; with `times` on average, without the time that the last frame is held. None if unknown.
    times: of every frame, None at a constant rate. notes: messages.
    """

    fps: Fraction | None
    times: FrameTimes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameClock:
    """A file's timing information.

    - starts, durations: of each frame in the order shown, in ticks of `time_base` seconds; None and 0 where the
      file does not say.
    - stated: rates that its header gives or suggests, the likeliest first.
    - next_start: of the frame after the last of these, None where there is none.
    - expected: the rate that other frames of the same clip have, None where it is not known.
    """

    starts: Sequence[int | None]
    durations: Sequence[int]
    time_base: Fraction | None
    stated: tuple[Fraction, ...] = ()
    next_start: int | None = None
    expected: Fraction | None = None

    def timing(self) -> Timing:
        """The rate or the table of times that these frames have."""
        stated = tuple(rate for rate in self.stated if 0 < rate <= MAX_FPS)
        header = stated[0] if stated else None
        starts = [s for s in self.starts if s is not None]
        if self.time_base is None or len(starts) < max(2, len(self.starts)):
            return Timing(header)
        if any(b <= a for a, b in pairwise(starts)):
            return self._disordered(sorted(set(starts)), stated, header)
        tick = float(self.time_base)
        seconds: Seconds = (np.array(starts, np.int64) - starts[0]).astype(np.float64) * tick
        likely = stated if self.expected is None else (self.expected, *stated)
        fps = _rate(seconds, tick, likely, (starts[-1] - starts[0]) * self.time_base)
        if fps > MAX_FPS:
            return Timing(header)
        steady = _is_steady(seconds, fps)
        last, end = self._last(seconds, steady, fps)
        notes = _header_note(header, fps)
        if steady and not _differ(last, float(1 / fps)):
            return Timing(fps, None, notes)
        ticks = (*(s - starts[0] for s in starts), starts[-1] - starts[0] + end)
        held = f"its last frame is shown for {last:.3g} seconds: the clip keeps the times of its frames"
        return Timing(fps, FrameTimes(self.time_base, ticks), (*notes, held if steady else UNEVEN_NOTE))

    def _last(self, seconds: Seconds, steady: bool, fps: Fraction) -> tuple[float, int]:
        """The duration of the last frame, in seconds and in ticks."""
        assert self.time_base is not None
        tick = float(self.time_base)
        if self.next_start is not None and self.next_start > (self.starts[-1] or 0):
            ticks = self.next_start - (self.starts[-1] or 0)
            return ticks * tick, ticks
        gaps = np.diff(seconds)
        typical = float(1 / fps) if steady else float(np.median(gaps))
        own = self.durations[-1]
        # Many files give every frame the duration of the header's rate.
        others = np.array(self.durations[:-1]) * tick
        believed = np.mean(np.abs(others - gaps) <= 1.01 * tick + gaps / 10) >= 0.5
        if (
            own > 0
            and (believed or typical > LONGEST_GUESS)
            and (own * tick > typical or not steady or not believed)
        ):
            return own * tick, own
        return typical, max(1, round(typical / tick))

    def _disordered(self, starts: list[int], stated: tuple[Fraction, ...], header: Fraction | None) -> Timing:
        if self.time_base is None or len(starts) < 2:
            return Timing(header)
        typical = sorted(b - a for a, b in pairwise(starts))[(len(starts) - 1) // 2] * self.time_base
        agreeing = [rate for rate in stated if abs(1 / rate - typical) <= typical / 10]
        fps = agreeing[0] if agreeing else 1 / typical
        if fps > MAX_FPS:
            return Timing(header)
        return Timing(fps, None, (*_header_note(header, fps), DISORDERED_NOTE))


def _rate(seconds: Seconds, tick: float, stated: tuple[Fraction, ...], length: Fraction) -> Fraction:
    """The average rate of frames at `seconds`: a stated or usual one where it fits, else the simplest."""
    gaps = len(seconds) - 1
    for rate in stated:
        if abs(float(length) - gaps / float(rate)) <= tick + 1 / (8 * float(rate)):
            return rate
    for rate in USUAL_RATES:
        if abs(float(length) - gaps / float(rate)) <= tick:
            return rate
    exact = gaps / length
    for denominator in range(1, MAX_DENOMINATOR + 1):
        rate = Fraction(round(exact * denominator), denominator)
        if rate > 0 and abs(float(length) - gaps / float(rate)) <= tick:
            return rate
    return exact


def _is_steady(seconds: Seconds, fps: Fraction) -> bool:
    """Whether frames at `seconds` are evenly spaced, up to clock jitter and rounding."""
    gaps = np.diff(seconds)
    frame = float(1 / fps)
    drift = np.ptp(seconds - np.arange(len(seconds)) * frame)
    return not np.any(_differ(gaps, float(np.median(gaps)))) and bool(
        drift < frame / 2 + min(1 / 250, 2 * frame / 5)
    )


def _differ(gaps: Seconds | float, typical: float) -> NDArray[np.bool_] | bool:
    return np.abs(gaps - typical) > typical / 4 + 1 / 500


def _header_note(header: Fraction | None, fps: Fraction) -> tuple[str, ...]:
    if header is None or header == fps:
        return ()
    return (
        f"its header says {float(header):.5g} frames per second, the times of its frames {float(fps):.5g}: "
        "the frames' own times count",
    )
