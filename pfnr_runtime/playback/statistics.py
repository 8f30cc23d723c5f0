"""What a playback measures: frames shown, skipped and dropped, and durations. Constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLES = 1 << 15  # most recent samples, for medians and percentiles
RECENT = 30  # frames over which the displayed rate is averaged


@dataclass(frozen=True)
class Appearance:
    """One frame as it appeared, times in seconds: clock time, decode time, lateness.

    skipped: frames before it that were never decoded; dropped: decoded, but too late.
    """

    time: float
    session: int
    frame: int
    skipped: int
    dropped: int
    decode: float
    lateness: float


class Samples:
    """Times in seconds: count, mean and maximum over all, quantiles over the last `SAMPLES`."""

    def __init__(self) -> None:
        self._ring = np.zeros(SAMPLES)
        self.count = 0
        self._sum = 0.0
        self._most = 0.0

    def add(self, seconds: float) -> None:
        self._ring[self.count % SAMPLES] = seconds
        self.count += 1
        self._sum += seconds
        self._most = max(self._most, seconds)

    @property
    def mean(self) -> float:
        return self._sum / self.count if self.count else 0.0

    def milliseconds(self) -> dict[str, float]:
        """mean, median, p95, p99 and max; all 0 without samples."""
        kept = self._ring[: min(self.count, SAMPLES)]
        quantiles = np.quantile(kept, [0.5, 0.95, 0.99]) if len(kept) else np.zeros(3)
        values = (self.mean, *map(float, quantiles), self._most)
        return {
            name: 1000 * value for name, value in zip(("mean", "median", "p95", "p99", "max"), values, strict=True)
        }


class Statistics:
    """Counts of one playback.

    - shown: frames that appeared.
    - skipped: passed over before they were decoded.
    - dropped: decoded, but too late to be shown.
    - late: shown after the next frame was due.
    """

    def __init__(self) -> None:
        self.shown = self.skipped = self.dropped = self.late = 0
        self.decode, self.present, self.lateness = Samples(), Samples(), Samples()
        self._recent = np.zeros(RECENT)
        self._first = self._last = 0.0

    def count(self, frame: Appearance, period: float) -> None:
        """Note a frame that appeared, where one is due every `period` seconds."""
        self._first = frame.time if self.shown == 0 else self._first
        self._recent[self.shown % RECENT] = self._last = frame.time
        self.shown += 1
        self.skipped += frame.skipped
        self.dropped += frame.dropped
        self.late += frame.lateness > period
        self.decode.add(frame.decode)
        self.lateness.add(max(frame.lateness, 0.0))

    @property
    def rate(self) -> float:
        """Recent frames per second on screen; 0 before two were shown."""
        known = min(self.shown, RECENT)
        if known < 2:
            return 0.0
        oldest = self._recent[self.shown % RECENT] if known == RECENT else self._recent[0]
        return float((known - 1) / max(self._last - oldest, 1e-9))

    @property
    def lost_percent(self) -> float:
        """Percentage of frames skipped or dropped, of all that were due."""
        due = self.shown + self.skipped + self.dropped
        return 100 * (self.skipped + self.dropped) / due if due else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; times in milliseconds, `seconds` from the first frame to the last."""
        seconds = self._last - self._first
        return {
            "shown": self.shown,
            "skipped": self.skipped,
            "dropped": self.dropped,
            "late": self.late,
            "lost_percent": self.lost_percent,
            "seconds": seconds,
            "fps": (self.shown - 1) / seconds if seconds > 0 else 0.0,
            "decode_ms": self.decode.milliseconds(),
            "present_ms": self.present.milliseconds(),
            "late_ms": self.lateness.milliseconds(),
        }

    def lines(self) -> list[str]:
        """A few lines to print."""
        decode, present = self.decode.milliseconds(), self.present.milliseconds()
        return [
            f"shown {self.shown}, skipped {self.skipped}, dropped {self.dropped}, late {self.late} "
            f"({self.lost_percent:.2f} % lost)",
            f"decode {decode['mean']:.1f} ms, 95 % under {decode['p95']:.1f}, at most {decode['max']:.1f}",
            f"present {present['mean']:.1f} ms, 95 % under {present['p95']:.1f}, at most {present['max']:.1f}",
        ]
