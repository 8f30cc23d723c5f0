"""Energy over a period, from the machine's counters and sensors; never an estimate.

Three sources: RAPL's counters (Linux's powercap: Intel and AMD processors), the power sensors of a board (hwmon: a
Jetson's INA rails), and the counter of NVIDIA GPUs (NVML). Each measures everything on its rail, idle power
included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pfnr_runtime.errors import BackendError

SYSTEM = Path("/sys/class")
SAMPLE_SECONDS = 0.05
NONE = "not reported by this machine"


@dataclass(frozen=True)
class Counter:
    """A counter of joules. wraps: joules at which it wraps around, None if it does not."""

    name: str
    read: Callable[[], float]
    wraps: float | None = None

    def difference(self, before: float, after: float) -> float:
        """Joules between two readings, at most one wrap-around apart."""
        return after - before if after >= before or self.wraps is None else after - before + self.wraps


@dataclass(frozen=True)
class Sensor:
    """A sensor of watts."""

    name: str
    read: Callable[[], float]


class EnergyRecorder:
    """Joules by rail between entering and leaving; a separate thread samples and integrates sensors.

    counters, sensors: by default the machine's.
    """

    def __init__(
        self, counters: tuple[Counter, ...] | None = None, sensors: tuple[Sensor, ...] | None = None
    ) -> None:
        self._counters = find_counters() if counters is None else counters
        self._sensors = find_sensors() if sensors is None else sensors
        self._before: list[float] = []
        self._joules: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="pfnr energy", daemon=True)

    @property
    def joules(self) -> dict[str, float]:
        """Joules by rail, after leaving; empty where the machine reports nothing."""
        return dict(self._joules)

    def to_json(self, frames: int) -> dict[str, Any]:
        """Joules and joules per frame by rail; `missing` where there are none."""
        if not self._joules:
            return {"missing": missing()}
        return {rail: {"joules": j, "joules_per_frame": j / frames} for rail, j in self._joules.items()}

    def __enter__(self) -> EnergyRecorder:
        if self._sensors:
            self._thread.start()
        self._before = [counter.read() for counter in self._counters]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for counter, before in zip(self._counters, self._before, strict=True):
            self._joules[counter.name] = counter.difference(before, counter.read())
        self._stop.set()
        if self._sensors:
            self._thread.join()

    def _sample(self) -> None:
        """Integrate by trapezoids between readings, the last at the end."""
        last = time.perf_counter()
        watts = [sensor.read() for sensor in self._sensors]
        totals = [0.0] * len(watts)
        done = False
        while not done:
            done = self._stop.wait(SAMPLE_SECONDS)
            now, before = time.perf_counter(), watts
            watts = [sensor.read() for sensor in self._sensors]
            totals = [t + (now - last) * (a + b) / 2 for t, a, b in zip(totals, before, watts, strict=True)]
            last = now
        self._joules.update(zip((sensor.name for sensor in self._sensors), totals, strict=True))


def find_counters(system: Path = SYSTEM) -> tuple[Counter, ...]:
    """Readable RAPL packages, and NVIDIA GPUs with an energy counter."""
    return (*_rapl(system / "powercap"), *_gpus())


def find_sensors(system: Path = SYSTEM) -> tuple[Sensor, ...]:
    """Power rails of INA sensors, as on Jetson modules."""
    return tuple(
        sensor
        for folder in sorted((system / "hwmon").glob("hwmon*"))
        if (_text(folder / "name") or "").startswith("ina")
        for sensor in _rails(folder)
    )


def missing(system: Path = SYSTEM) -> str:
    """Why no energy is reported, in words."""
    zones = sorted((system / "powercap").glob("intel-rapl:*/energy_uj"))
    if zones and not _rapl(system / "powercap"):
        return f"{NONE} to this user: {zones[0]} is readable by root only"
    return NONE


def _rapl(powercap: Path) -> tuple[Counter, ...]:
    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:  # a subzone, already included in its parent
            continue
        name, most = _text(zone / "name"), _number(zone / "max_energy_range_uj")
        if name is not None and _number(zone / "energy_uj") is not None:
            counters.append(Counter(f"RAPL {name}", _reader(zone / "energy_uj"), most / 1e6 if most else None))
    return tuple(counters)


def _reader(path: Path) -> Callable[[], float]:
    return lambda: (_number(path) or 0.0) / 1e6


def _rails(folder: Path) -> Iterator[Sensor]:
    """Millivolts × milliamperes of each labelled channel (ina3221), or microwatts where given (ina2xx)."""
    for volts in sorted(folder.glob("in*_input")):
        amperes = folder / volts.name.replace("in", "curr", 1)
        label = _text(folder / volts.name.replace("_input", "_label"))
        if label and _number(volts) is not None and _number(amperes) is not None:
            yield Sensor(f"rail {label}", _product(volts, amperes))
    for power in sorted(folder.glob("power*_input")):
        if _number(power) is not None:
            label = (
                _text(folder / power.name.replace("_input", "_label"))
                or f"{folder.name} {power.stem.removesuffix('_input')}"
            )
            yield Sensor(f"rail {label}", _reader(power))


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: (_number(volts) or 0.0) * (_number(amperes) or 0.0) / 1e6


def _gpus() -> tuple[Counter, ...]:
    from pfnr_runtime.backends.device import nvml
    from pfnr_runtime.backends.device.cuda import driver_missing

    if driver_missing():
        return ()
    try:
        found = nvml.gpus()
    except BackendError:
        return ()

    def reader(index: int) -> Callable[[], float]:
        return lambda: nvml.gpus()[index].joules or 0.0

    return tuple(Counter(f"GPU {i} {g.name}", reader(i)) for i, g in enumerate(found) if g.joules is not None)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
