"""A Ray cluster of several nodes on this machine, each a process group of its own that can be killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.paths import ROOT

START_SECONDS = 60


@dataclass
class Cluster:
    """A head without CPUs, and workers of one CPU each."""

    address: str
    environment: dict[str, str]
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self) -> None:
        """One more node."""
        self.workers.append(self.start("--address", self.address, "--num-cpus", "1"))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`ray start` with these arguments, in a process group of its own."""
        line = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            "--disable-usage-stats",
            *arguments,
        ]
        log = (self.folder / "ray.log").open("ab")
        return subprocess.Popen(
            line, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def revive(self) -> None:
        """Start anew whatever node Ray gave up by itself, as it does where a part of it starts too slowly."""
        for process in [worker for worker in self.workers if worker.poll() is not None]:
            self.workers.remove(process)
            self.start_worker()

    def kill_worker(self) -> None:
        """Kill one node with all that runs on it."""
        _kill(self.workers.pop(0))


@contextlib.contextmanager
def ray_cluster(workers: int) -> Iterator[Cluster]:
    """A cluster with so many workers, ready to be joined."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # a busy machine would leave them no time
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }
    # Ray puts sockets there, and their paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pfnr-ray-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(f"127.0.0.1:{port}", environment, Path(folder))
        place = ("--temp-dir", f"{folder}/ray", "--include-dashboard", "false")
        head = cluster.start("--head", "--port", str(port), "--num-cpus", "0", *place)
        try:
            _wait_for(port)
            for _ in range(workers):
                cluster.start_worker()
            yield cluster
        finally:
            for process in (*cluster.workers, head):
                _kill(process)


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError("the head of the Ray cluster did not start")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
