"""Work on a Ray cluster: Ray finds room for it, and starts again what a lost worker or node had."""

from __future__ import annotations

import logging
import os
import socket
from types import TracebackType
from typing import Any

from pfnr_runtime.errors import BackendError
from pfnr_train.executors.base import ATTEMPTS, ELSEWHERE, Done, Executor, Work, machine_version, run_work
from pfnr_train.extras import needs_extra

HERE = "local"  # starts Ray on this machine
ANSWER_SECONDS = 10.0


class RayExecutor(Executor):
    """A cluster's workers. address: `local`, `auto` for the cluster this machine is part of, or HOST:PORT."""

    def __init__(self, address: str, jobs: int | None = None) -> None:
        with needs_extra("a Ray cluster", "ray"):
            import ray
        self._ray, self._address = ray, address
        self._refs: dict[Any, Work] = {}
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if address == HERE:
                ray.init("local", num_cpus=jobs, include_dashboard=False, **quiet)
            else:
                _require_answer(address)
                ray.init(address, **quiet)
        except (RuntimeError, ValueError, OSError, OverflowError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BackendError(
                f"the Ray cluster at {address} cannot be joined ({reason}); give {HERE}, auto, or the HOST:PORT "
                "that `ray start --head` prints, with the same versions of Ray and Python, and set "
                "RAY_AUTH_TOKEN to the cluster's token if it has one"
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ref in self._refs:
            self._ray.cancel(ref, force=False)
        self._ray.shutdown()

    @property
    def sentence(self) -> str:
        """See `Executor`."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        return f"Ray at {self._address}, {len(nodes)} nodes with {cpus} CPUs"

    def submit(self, work: Work) -> None:
        """See `Executor`."""
        remote = self._ray.remote(_remote).options(
            num_cpus=work.threads,
            num_gpus=work.gpus,
            max_retries=ATTEMPTS - 1,
            runtime_env={"env_vars": {ELSEWHERE: "1", "OMP_NUM_THREADS": str(work.threads)}},
        )
        self._refs[remote.remote(work.function, work.argument, work.key, machine_version())] = work

    def next(self, seconds: float) -> Done | None:
        """See `Executor`."""
        ready, _ = self._ray.wait(list(self._refs), timeout=seconds) if self._refs else ([], [])
        for ref in ready:
            work = self._refs.pop(ref)
            try:
                done: Done = self._ray.get(ref)
                return done
            except self._ray.exceptions.RayError as error:
                return Done(work.key, error=_in_words(error), code=1)
        return None


def _remote(function: Any, argument: Any, key: int, machine: str) -> Done:
    return run_work(function, argument, key, machine)


def _require_answer(address: str) -> None:
    """An OSError where nobody listens at HOST:PORT: Ray would try for minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "ModuleNotFoundError" in text or "No module named" in text:
        return "a worker cannot import pfnr; install the same version on every node of the cluster"
    return f"Ray: {text[:300]}"
