"""The expected cost of a decode, from recent ones."""

from __future__ import annotations

import statistics
from collections import deque

# An engine's first decodes are slow: see a few before trusting their time.
COST_SAMPLES, COST_WINDOW = 3, 9


class RecentCost:
    """The median of recent times, in seconds; 0 before there are enough."""

    def __init__(self) -> None:
        self._costs: deque[float] = deque(maxlen=COST_WINDOW)

    def add(self, seconds: float) -> None:
        """Record one decode's time."""
        self._costs.append(seconds)

    @property
    def seconds(self) -> float:
        """The expected time of the next decode."""
        return statistics.median(self._costs) if len(self._costs) >= COST_SAMPLES else 0.0
