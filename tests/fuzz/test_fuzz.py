"""Every reader meets inputs that are nearly right; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.target import Ready
from fuzz.targets import TARGETS

EXAMPLES = {"clip": 15, "checkpoint": 25, "onnx": 40, "server": 40, "training-state": 25}
USUAL = 60


@pytest.fixture(scope="module", params=TARGETS)
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Ready]]:
    target = TARGETS[request.param](tmp_path_factory.mktemp("fuzz"))
    yield request.param, target
    target.close()


def test_its_seeds_are_accepted(ready: tuple[str, Ready]) -> None:
    assert all(ready[1].run(seed) for seed in ready[1].seeds)


def test_a_changed_input_is_read_or_refused_by_name(ready: tuple[str, Ready]) -> None:
    name, target = ready

    @settings(
        max_examples=EXAMPLES.get(name, USUAL), deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(seed=st.sampled_from(target.seeds), chance=st.randoms(use_true_random=False))
    def reads(seed: bytes, chance: object) -> None:
        target.run(target.changed(seed, chance))  # type: ignore[arg-type]

    reads()


def test_an_input_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    target = TARGETS["sequence"](tmp_path)
    assert [target.input(i) for i in range(50)] == [target.input(i) for i in range(50)]
    assert len({target.input(i) for i in range(50)}) > 30
