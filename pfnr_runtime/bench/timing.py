"""Times of many runs, and their statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

LEAST_RUNS = 3


@dataclass(frozen=True)
class Latencies:
    """Seconds of consecutive runs, at least one."""

    seconds: tuple[float, ...]

    @property
    def fps(self) -> float:
        """Runs per second."""
        return len(self.seconds) / sum(self.seconds)

    def to_json(self) -> dict[str, float]:
        """count, fps, and in milliseconds mean, p50, p90, p99 and max."""
        milliseconds = 1000 * np.array(self.seconds)
        p50, p90, p99 = map(float, np.quantile(milliseconds, [0.5, 0.9, 0.99]))
        return {
            "count": len(self.seconds),
            "fps": self.fps,
            "mean_ms": float(milliseconds.mean()),
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "max_ms": float(milliseconds.max()),
        }


def time_runs(
    run: Callable[[int], object],
    numbers: Iterable[int],
    seconds: float,
    least: int = LEAST_RUNS,
) -> Latencies:
    """Time `run` on successive `numbers` until `seconds` have passed, at least `least` times."""
    times: list[float] = []
    begin = perf_counter()
    for number in numbers:
        start = perf_counter()
        run(number)
        end = perf_counter()
        times.append(end - start)
        if len(times) >= least and end - begin >= seconds:
            break
    return Latencies(tuple(times))


def in_order(count: int) -> Iterator[int]:
    """0, 1, ..., count - 1, 0, 1, ... without end."""
    while True:
        yield from range(count)


def at_random(count: int, seed: int = 0) -> Iterator[int]:
    """Numbers below `count` without end, the same for the same seed."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(count))
