"""What every benchmark prints and stores: a table, the machine, JSON on request."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from pfnr_runtime.doctor.machine import processor


def machine() -> dict[str, Any]:
    """The machine, in words."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options all benchmarks share."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--json", type=Path, help="write the result here too")
    made.add_argument("--threads", type=int, default=2)
    return made


def interleaved(
    contenders: dict[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contender, by name: all take turns in every round, so noise hits them alike.

    clock: `time.process_time` counts this process's own work, for a machine that others keep busy.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for count in range(warm_up + rounds):
        for name, run in contenders.items():
            start = clock()
            run()
            if count >= warm_up:
                times[name].append(clock() - start)
    return times


def summarise(times: dict[str, list[float]], base: str) -> dict[str, dict[str, float]]:
    """Median seconds of each and its ratio to `base`: the median over rounds of the ratio within a round."""
    return {
        name: {
            "median_s": statistics.median(values),
            "least_s": min(values),
            "ratio": statistics.median(v / b for v, b in zip(values, times[base], strict=True)),
        }
        for name, values in times.items()
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)


def store(result: dict[str, Any], path: Path | None) -> None:
    """Write the result as JSON where asked."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
