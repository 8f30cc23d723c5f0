"""Statistics: what they count, their JSON, and that they do not grow."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pfnr_runtime.playback.statistics import Appearance, Samples, Statistics


def test_samples_know_mean_quantiles_and_maximum() -> None:
    samples = Samples()
    for value in range(1, 101):
        samples.add(value / 1000)
    result = samples.milliseconds()
    assert result["mean"] == pytest.approx(50.5)
    assert result["median"] == pytest.approx(50.5)
    assert result["p95"] == pytest.approx(np.quantile(np.arange(1, 101), 0.95))
    assert result["max"] == pytest.approx(100)
    assert Samples().milliseconds() == dict.fromkeys(("mean", "median", "p95", "p99", "max"), 0.0)


def test_samples_keep_the_last_and_never_grow() -> None:
    samples = Samples()
    size = sys.getsizeof(samples._ring)
    for _ in range(32768):
        samples.add(5.0)
    for _ in range(32768):
        samples.add(1.0)
    assert samples.milliseconds()["median"] == 1000.0
    assert samples.milliseconds()["max"] == 5000.0
    assert samples.mean == 3.0
    assert sys.getsizeof(samples._ring) == size


def test_counts_rate_and_share_of_lost_frames() -> None:
    statistics = Statistics()
    for i in range(50):
        lost = {"skipped": 1 if i == 10 else 0, "dropped": 2 if i == 20 else 0}
        late = 0.05 if i == 10 else 0.001
        statistics.count(Appearance(i / 25, 0, i, **lost, decode=0.01, lateness=late), 0.04)
    assert (statistics.shown, statistics.skipped, statistics.dropped, statistics.late) == (50, 1, 2, 1)
    assert statistics.lost_percent == pytest.approx(100 * 3 / 53)
    assert statistics.rate == pytest.approx(25)
    result = statistics.to_json()
    assert (result["seconds"], result["fps"]) == (pytest.approx(49 / 25), pytest.approx(25))
    assert result["decode_ms"]["median"] == pytest.approx(10)


def test_nothing_shown_is_no_error() -> None:
    result = Statistics().to_json()
    assert (result["shown"], result["fps"], result["lost_percent"]) == (0, 0.0, 0.0)
    assert Statistics().rate == 0.0
    assert Statistics().lines()
