"""Energy comes from the machine's own counters and sensors, or is said to be missing."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from pfnr_runtime.bench.energy import Counter, EnergyRecorder, Sensor, find_counters, find_sensors, missing


def write(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.fixture
def processor(tmp_path: Path) -> Path:
    zone = "powercap/intel-rapl:0"
    return write(
        tmp_path,
        {
            f"{zone}/name": "package-0",
            f"{zone}/energy_uj": 5_000_000,
            f"{zone}/max_energy_range_uj": 262_000_000,
            "powercap/intel-rapl:0:0/name": "core",
            "powercap/intel-rapl:0:0/energy_uj": 1,
        },
    )


def test_a_processors_counter_is_read_and_its_parts_are_not_counted_twice(processor: Path) -> None:
    (counter,) = find_counters(processor)
    assert counter.name == "RAPL package-0"
    assert counter.read() == 5.0
    with EnergyRecorder((counter,), ()) as energy:
        write(processor, {"powercap/intel-rapl:0/energy_uj": 8_500_000})
    assert energy.joules == {"RAPL package-0": 3.5}
    assert energy.to_json(7)["RAPL package-0"]["joules_per_frame"] == 0.5


def test_a_counter_that_begins_again_is_followed(processor: Path) -> None:
    (counter,) = find_counters(processor)
    assert counter.difference(261.0, 2.0) == pytest.approx(3.0)
    assert Counter("of no limit", lambda: 0.0).difference(1.0, 3.0) == 2.0


def test_a_boards_rails_are_volts_times_amperes(tmp_path: Path) -> None:
    write(
        tmp_path / "hwmon",
        {
            "hwmon2/name": "ina3221",
            "hwmon2/in1_label": "VDD_IN",
            "hwmon2/in1_input": 5000,
            "hwmon2/curr1_input": 1200,
            "hwmon2/in7_label": "sum of shunt voltages",
            "hwmon2/in7_input": 10,
            "hwmon3/name": "coretemp",
            "hwmon3/power1_input": 1,
            "hwmon4/name": "ina219",
            "hwmon4/power1_input": 2_500_000,
        },
    )
    sensors = find_sensors(tmp_path)
    assert [(sensor.name, sensor.read()) for sensor in sensors] == [
        ("rail VDD_IN", 6.0),
        ("rail hwmon4 power1", 2.5),
    ]


def test_a_sensors_watts_are_summed_over_time() -> None:
    begin = perf_counter()
    with EnergyRecorder((), (Sensor("steady", lambda: 4.0), Sensor("off", lambda: 0.0))) as energy:
        inside = perf_counter()
        while perf_counter() - inside < 0.02:
            pass
    assert 0 < energy.joules["steady"] <= 4.0 * (perf_counter() - begin)
    assert energy.joules["off"] == 0.0


def test_nothing_is_guessed(tmp_path: Path) -> None:
    assert find_counters(tmp_path) == find_sensors(tmp_path) == ()
    with EnergyRecorder((), ()) as energy:
        pass
    assert energy.joules == {}
    assert energy.to_json(3)["missing"].startswith("not reported by this machine")
    assert missing(tmp_path) == "not reported by this machine"


def test_a_counter_that_only_root_may_read_is_named(processor: Path) -> None:
    counter = processor / "powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()  # unreadable also for root, who may run this test
    assert find_counters(processor) == ()
    assert missing(processor).endswith("intel-rapl:0/energy_uj is readable by root only")
