"""Scheduling is kept while threads come and go."""

from __future__ import annotations

import os

import pytest

from pfnr_runtime.system import scheduling
from pfnr_runtime.system.scheduling import keep_scheduling


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_a_thread_that_ends_meanwhile_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = 1 << 22  # above every number that the kernel gives
    monkeypatch.setattr(scheduling, "_threads", lambda: [ended, 0])
    policy = os.sched_getscheduler(0)
    with keep_scheduling():
        pass
    assert os.sched_getscheduler(0) == policy
