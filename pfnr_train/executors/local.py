"""Work in processes of this machine; one that is killed is started again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from pfnr_runtime.system.messages import say
from pfnr_train.executors.base import ATTEMPTS, Done, Executor, Work, check_jobs, machine_version, run_work

STOP_SECONDS = 30.0  # a process gets to save its work in when it is told to stop
# One process imports PyTorch, and all others are forked from it.
_CONTEXT = multiprocessing.get_context("forkserver")


class LocalExecutor(Executor):
    """At most `jobs` processes at a time. preload: modules that are imported once for all of them."""

    def __init__(self, jobs: int, preload: tuple[str, ...] = ()) -> None:
        self._jobs = check_jobs(jobs)
        self._waiting: deque[tuple[Work, int]] = deque()
        self._running: dict[Connection, tuple[BaseProcess, Work, int, Connection]] = {}
        _CONTEXT.set_forkserver_preload([__name__, *preload])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, *_ in self._running.values():
            process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process, *_ in self._running.values():
            process.join(max(0.0, until - time.monotonic()))
            process.kill()
            process.join()

    @property
    def sentence(self) -> str:
        """See `Executor`."""
        return f"{self._jobs} processes" if self._jobs > 1 else "one process"

    def submit(self, work: Work) -> None:
        """See `Executor`."""
        self._waiting.append((work, 1))
        self._fill()

    def next(self, seconds: float) -> Done | None:
        """See `Executor`."""
        for result in wait(list(self._running), seconds):
            assert isinstance(result, Connection)
            process, work, attempt, _ = self._running.pop(result)
            try:
                done: Done | None = result.recv()
            except (EOFError, OSError):
                done = None
            process.join()
            result.close()
            if done is None and attempt < ATTEMPTS:
                say(f"a worker died ({_how(process)}); its work goes on in another, attempt {attempt + 1}")
                self._waiting.appendleft((work, attempt + 1))
            self._fill()
            if done is not None:
                return done
            if attempt >= ATTEMPTS:
                return Done(
                    work.key, error=f"its worker died {ATTEMPTS} times, at last by {_how(process)}", code=1
                )
        return None

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._jobs:
            work, attempt = self._waiting.popleft()
            result, answer = _CONTEXT.Pipe(duplex=False)
            ended, lifeline = _CONTEXT.Pipe(duplex=False)
            process = _CONTEXT.Process(target=_work, args=(work, machine_version(), answer, ended), daemon=False)
            process.start()
            answer.close()
            ended.close()
            self._running[result] = (process, work, attempt, lifeline)


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(work: Work, machine: str, answer: Connection, lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: who started this process tells it to stop
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    answer.send(run_work(work.function, work.argument, work.key, machine))


def _end_with_parent(lifeline: Connection) -> None:
    """Stop this process when the one that started it is gone: nobody waits for its work."""
    wait([lifeline])
    os.kill(os.getpid(), signal.SIGTERM)
