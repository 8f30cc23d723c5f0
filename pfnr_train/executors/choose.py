"""The executor that a command's options ask for."""

from __future__ import annotations

from pfnr_runtime.errors import UsageError
from pfnr_train.executors.base import Executor, check_jobs
from pfnr_train.executors.local import LocalExecutor
from pfnr_train.executors.ray import HERE, RayExecutor

# What training needs.
PRELOAD = ("pfnr_train.sequence.task", "torch._dynamo")


def choose_executor(jobs: int | None, address: str | None, preload: tuple[str, ...] = PRELOAD) -> Executor:
    """Processes of this machine, or Ray at an address. jobs: how many at a time; None for one, or all of Ray's.

    preload: modules that the work needs, imported once for all processes.
    """
    if jobs is not None:
        check_jobs(jobs)
    if address is None:
        return LocalExecutor(jobs or 1, preload)
    if jobs is not None and address != HERE:
        raise UsageError(
            f"`jobs` is for this machine; the cluster at {address} works on as many as it has CPUs for"
        )
    return RayExecutor(address, jobs)
