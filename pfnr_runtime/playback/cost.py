"""What a decode is expected to cost, from the last ones."""

from __future__ import annotations

import statistics
from collections import deque

# Decodes to have seen before their time is believed: the first ones of an engine are slow.
COST_SAMPLES, COST_WINDOW = 3, 9


class RecentCost:
    """The median of the last times, in seconds; 0 before there are some."""

    def __init__(self) -> None:
        self._costs: deque[float] = deque(maxlen=COST_WINDOW)

    def add(self, seconds: float) -> None:
        """Note what a decode took."""
        self._costs.append(seconds)

    @property
    def seconds(self) -> float:
        """What the next one is expected to take."""
        return statistics.median(self._costs) if len(self._costs) >= COST_SAMPLES else 0.0
