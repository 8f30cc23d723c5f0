"""Real processes that train, forked from one server that has torch imported already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
# An optimiser imports torch._dynamo when it is made.
CONTEXT.set_forkserver_preload(["pfnr_train.commands", "torch._dynamo"])


def start_train(folder: Path, *arguments: object, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start `pfnr-train` with these arguments in `folder`; what it says goes to its log."""
    more = dict(environment or {})
    process = CONTEXT.Process(target=_train, args=(str(folder), [str(a) for a in arguments], more), daemon=True)
    process.start()
    return process


def start_pair(folder: Path, *arguments: object, apart: dict[int, object] | None = None) -> list[BaseProcess]:
    """Two processes as torchrun starts them. apart: a rank that gets another clip."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    for rank in range(2):
        own = [(apart or {}).get(rank, "clip.mkv") if a == "clip.mkv" else a for a in arguments]
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        started.append(start_train(folder, *own, environment=environment))
    return started


def train(folder: Path, *arguments: object) -> str:
    """Run `pfnr-train` to its end, which must be a good one; returns what it said."""
    process = start_train(folder, *arguments)
    process.join(100)
    assert process.exitcode == 0, log(folder)
    return log(folder)


def log(folder: Path, name: str = "log") -> str:
    """What the latest process of a folder wrote."""
    return (folder / name).read_text()


def _train(folder: str, arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    name = f"log{os.environ['RANK']}" if "RANK" in os.environ else "log"
    out = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from pfnr_train.commands import app

    sys.argv = ["pfnr-train", *arguments]
    app()
