"""The process's scheduling, kept as it is when a library would change it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def keep_scheduling() -> Iterator[None]:
    """Give every thread back the policy and priority that it had before the block, and new threads the caller's.

    SVT-AV1, opened by root, puts the calling thread and its own into real time at the highest priority; what is
    started from there inherits it, and nothing else on the machine gets a processor any more.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before, mine = {}, _scheduling(0)
    for thread in _threads():
        with contextlib.suppress(OSError):  # it may have ended
            before[thread] = _scheduling(thread)
    try:
        yield
    finally:
        for thread in _threads():
            with contextlib.suppress(OSError):
                wanted = before.get(thread, mine)
                if _scheduling(thread) != wanted:
                    os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))


def _threads() -> list[int]:
    """The kernel's numbers of this process's threads; only the calling one's, 0, without a /proc."""
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]


def _scheduling(thread: int) -> tuple[int, int]:
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
