"""When each frame of a video appears and how long it stays, for videos whose frames are not evenly spaced."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, groupby, pairwise
from typing import Any

# Limits of files: ticks are integers that every JSON reader can represent, and the text fits in the 1 MiB that an
# artifact's metadata may have.
MAX_TICKS = 1 << 53
MAX_BASE_PART = 10**9
MAX_TEXT = 1 << 19
_RUN = r"(\d{1,16})(?:\*(\d{1,7}))?"
_BASE = r"(\d{1,10})/(\d{1,10})"


@dataclass(frozen=True)
class FrameTimes:
    """An immutable table of times for N ≥ 1 frames.

    time_base: seconds in one tick, over 0; numerator and denominator up to `MAX_BASE_PART`. ticks: N + 1 strictly
    increasing integers from 0 up to `MAX_TICKS`: the start of every frame, and the end of the last.

    A ValueError names what is out of range. A slice gives the table of those frames alone, from 0.
    """

    time_base: Fraction
    ticks: tuple[int, ...]

    def __post_init__(self) -> None:
        base = self.time_base
        if not isinstance(base, Fraction) or not (base > 0 and max(base.as_integer_ratio()) <= MAX_BASE_PART):
            raise ValueError(
                f"time base {base!r} is not a Fraction of 1/{MAX_BASE_PART} to {MAX_BASE_PART} seconds"
            )
        if len(self.ticks) < 2 or self.ticks[0] != 0:
            raise ValueError("frame times need the start of every frame and the end of the last, the first 0")
        for index, (start, end) in enumerate(pairwise(self.ticks)):
            if type(end) is not int or not start < end <= MAX_TICKS:
                raise ValueError(
                    f"frame {index} from tick {start!r} to {end!r}: every frame must end after its start, at a "
                    f"whole number up to {MAX_TICKS}"
                )
        if len(self.text) > MAX_TEXT:
            raise ValueError(
                f"the times of {len(self)} frames take {len(self.text)} characters, over {MAX_TEXT}; "
                "take fewer frames"
            )

    @classmethod
    def from_durations(cls, time_base: Fraction, durations: Iterable[int]) -> FrameTimes:
        """The table of consecutive frames that last `durations` ticks each."""
        return cls(time_base, tuple(accumulate(durations, initial=0)))

    def __len__(self) -> int:
        return len(self.ticks) - 1

    def __getitem__(self, frames: slice) -> FrameTimes:
        return self.select(range(*frames.indices(len(self))))

    def select(self, frames: Iterable[int]) -> FrameTimes:
        """The table of these frames in this order, each with its original duration; a ValueError if there are
        none.
        """
        return self.from_durations(self.time_base, [self.ticks[i + 1] - self.ticks[i] for i in frames])

    @property
    def even(self) -> bool:
        """Whether all frames have equal durations, so that a rate suffices."""
        return len({end - start for start, end in pairwise(self.ticks)}) == 1

    @property
    def duration(self) -> Fraction:
        """Length of the video in seconds."""
        return self.ticks[-1] * self.time_base

    @property
    def rate(self) -> Fraction:
        """Frames per second on average."""
        return len(self) / self.duration

    def start(self, index: int) -> Fraction:
        """When frame `index`, 0 to N, appears, in seconds from 0; N is the end of the video."""
        return self.ticks[index] * self.time_base

    def duration_of(self, index: int) -> Fraction:
        """The duration of frame `index`, 0 to N − 1, in seconds."""
        return (self.ticks[index + 1] - self.ticks[index]) * self.time_base

    def index_at(self, seconds: Fraction) -> int:
        """The frame on screen at `seconds`; a ValueError outside [0, duration)."""
        if not 0 <= seconds < self.duration:
            raise ValueError(f"{float(seconds):g} s is outside [0, {float(self.duration):g}) s")
        return bisect_right(self.ticks, seconds / self.time_base) - 1

    def scaled(self, factor: Fraction) -> FrameTimes:
        """The same frames, `factor` times as long each; a ValueError if no time base can represent that."""
        return FrameTimes(self.time_base * factor, self.ticks)

    @property
    def text(self) -> str:
        """Durations in ticks, run-length encoded: '40 33*2 34'."""
        durations = (end - start for start, end in pairwise(self.ticks))
        runs = ((ticks, sum(1 for _ in equal)) for ticks, equal in groupby(durations))
        return " ".join(f"{ticks}*{count}" if count > 1 else str(ticks) for ticks, count in runs)

    def to_json(self) -> dict[str, str]:
        """{'time_base': '1/1000', 'durations': `text`}."""
        return {"time_base": f"{self.time_base.numerator}/{self.time_base.denominator}", "durations": self.text}

    @classmethod
    def from_json(cls, value: Any, frames: int) -> FrameTimes:
        """The inverse of `to_json` for a video of `frames` frames; a ValueError names what is wrong."""
        if not isinstance(value, dict) or value.keys() != {"time_base", "durations"}:
            raise ValueError("frame times must be an object of time_base and durations")
        base, text = re.fullmatch(_BASE, str(value["time_base"]), re.ASCII), value["durations"]
        if base is None or int(base[2]) == 0:
            raise ValueError(f"time base {str(value['time_base'])[:50]!r} is not a fraction such as 1/1000")
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise ValueError(f"durations of frames must be text of at most {MAX_TEXT} characters")
        durations: list[int] = []
        for part in text.split(" "):
            run = re.fullmatch(_RUN, part, re.ASCII)
            if run is None:
                raise ValueError(f"{part[:50]!r} is not a duration in ticks such as 40 or 40*12")
            count = int(run[2] or 1)
            if len(durations) + count > frames:
                raise ValueError(f"frame times are of more frames than the video's {frames}")
            durations += [int(run[1])] * count
        if len(durations) != frames:
            raise ValueError(f"frame times are of {len(durations)} frames, and the video has {frames}")
        return cls.from_durations(Fraction(int(base[1]), int(base[2])), durations)
