"""The roofline calculation counts what the network has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from helpers.paths import ROOT

from pfnr_train.model.config import PRESETS, preset_config

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def roofline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import roofline

    yield roofline
    for name in ("roofline", "report"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("preset", PRESETS)
def test_multiply_adds_are_the_networks(roofline: Any, preset: str) -> None:
    config = preset_config(preset, 1280, 720)
    plain = replace(config, fourier=None)
    for precision in roofline.ELEMENT:
        assert sum(step.macs for step in roofline.steps(plain, precision)) == plain.macs()
        if config.fourier is not None:  # its transforms come on top, which `macs` leaves out
            every = sum(step.macs for step in roofline.steps(config, precision))
            assert config.macs() < every < 1.2 * config.macs()


def test_no_step_is_faster_than_either_roof(roofline: Any) -> None:
    config = preset_config("l", 1920, 1080)
    for device in (*roofline.DEVICES, *roofline.PROCESSORS):
        for precision in roofline.ELEMENT:
            rate = roofline.frames_per_second(config, precision, device, 1.0, 1.0)
            assert rate < device.peak(precision) / (2 * config.macs())
            moved = sum(step.bytes for step in roofline.steps(config, precision))
            assert rate <= 1.000001 * device.memory * 1e9 / moved
