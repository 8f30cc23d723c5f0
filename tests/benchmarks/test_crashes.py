"""What the benchmark of crashes tries at length, for a moment: a failure at each first step, and a kill."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import crashes

    return crashes


def test_a_failure_at_each_first_step_leaves_the_old_file_or_the_new_one(crashes: Any) -> None:
    found = crashes.all_steps("training state", 1)
    assert found["problems"] == []
    assert found["tried"] == len(crashes.CALLS) * len(crashes.FAULTS)


@pytest.mark.slow
def test_a_killed_training_loses_nothing(crashes: Any) -> None:
    known: list[dict[str, Any]] = []
    crashes.kill_trainings(3, known, lambda _: None)
    assert [kill["problems"] for kill in known] == [[], [], []]
