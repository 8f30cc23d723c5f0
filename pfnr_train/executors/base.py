"""Independent pieces of work, and one interface for whatever runs them side by side."""

from __future__ import annotations

import os
import platform
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pfnr_runtime import __version__
from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.os_errors import describe_os_error

ATTEMPTS = 4  # that a piece of work gets whose worker dies
MOST_JOBS = 256


@dataclass(frozen=True)
class Work:
    """One piece of work.

    - key: unique among those of an executor.
    - function, argument: what is called. Both can be pickled; the function's module is on every machine.
    - threads: CPU threads it uses. gpus: of a device, such as 0.5.

    What dies in the middle is started again, so the function goes on from what it left.
    """

    key: int
    function: Callable[[Any], Any]
    argument: Any
    threads: int = 1
    gpus: float = 0.0


@dataclass(frozen=True)
class Done:
    """What became of a piece of work. error: in words, and value is None; empty where it went well.

    code: the exit code that goes with the error.
    """

    key: int
    value: Any = None
    error: str = ""
    code: int = 0


class Executor(ABC):
    """Runs work side by side; a context manager, at whose end nothing runs any more."""

    def __enter__(self) -> Executor:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def submit(self, work: Work) -> None:
        """Take on a piece of work, to be run as soon as there is room."""

    @abstractmethod
    def next(self, seconds: float) -> Done | None:
        """Something that has ended; None if nothing does within so many seconds."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """Where it runs, in words."""


def run_work(function: Callable[[Any], Any], argument: Any, key: int, machine: str) -> Done:
    """Run work in its worker; whatever goes wrong becomes a `Done`. machine: `machine_version` of who sent it."""
    try:
        if (here := machine_version()) != machine:
            raise PfnrError(
                f"this worker has {here}, and the run was started with {machine}; install the same everywhere"
            )
        return Done(key, function(argument))
    except PfnrError as error:
        return Done(key, error=_from_here(str(error)), code=error.exit_code)
    except OSError as error:
        return Done(key, error=_from_here(describe_os_error(error)), code=1)
    except KeyboardInterrupt:
        return Done(key, error="interrupted", code=130)


def machine_version() -> str:
    """What all machines of a run must have in common, in words."""
    return f"pfnr {__version__} and Python {'.'.join(platform.python_version_tuple()[:2])}"


def _from_here(text: str) -> str:
    """A message with the machine it comes from, where work is sent to others."""
    return f"{text} (on {socket.gethostname()})" if os.environ.get(ELSEWHERE) else text


ELSEWHERE = "PFNR_WORKER_ELSEWHERE"  # set in workers that may be on another machine


def check_jobs(jobs: int) -> int:
    """The number of processes, if it can be."""
    if not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"`jobs={jobs}` is outside 1 to {MOST_JOBS}")
    return jobs
