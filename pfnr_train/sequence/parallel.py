"""Training a sequence's sessions side by side, and joining them into the library in the sequence's order.

videos whose parents are done ─▶ executor ─▶ `k.session` in the working folder ─▶ appended once all before it are

Sessions that own their values depend on their number and their parents alone, so the library has the same bytes as
one that was trained on one machine, in whatever order they end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.part_file import write_atomically
from pfnr_train.executors.base import Done, Executor, Work
from pfnr_train.library.appended.entry import entry_bytes
from pfnr_train.library.file import real_path, write_library
from pfnr_train.library.values import KINDS
from pfnr_train.sequence.run import SequenceRun
from pfnr_train.sequence.task import SessionTask, TaskFiles, train_task

POLL_SECONDS = 1.0
RESULTS_SECONDS = 10.0  # between two writings of the results file

WAITING, TRAINING, DONE, JOINED, FAILED, BLOCKED = "waiting", "training", "done", "joined", "failed", "blocked"


class FailedSessionsError(PfnrError):
    """Some sessions of a run failed; the others, and the library, are whole."""


@dataclass
class Row:
    """One session as the display shows it. state: one of the constants above. why: of a failure."""

    number: int
    name: str
    state: str = WAITING
    why: str = ""
    step: int = 0
    steps: int = 0
    psnr: float | None = None
    code: int = 1


Watch = Callable[[list[Row]], None]


@dataclass
class ParallelRun:
    """A sequence's run whose missing sessions are trained by an executor.

    - run: the library, whose lock the caller holds, and the results.
    - executor: where. threads, gpus, device: of each session.
    - save_every: seconds between two savings of a session's state. discard: what earlier runs left of them.
    - watch: shown all sessions about every second.
    """

    run: SequenceRun
    executor: Executor
    threads: int = 1
    gpus: float = 0.0
    device: str = "cpu"
    save_every: float = 60.0
    discard: bool = False
    watch: Watch = lambda rows: None
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        if KINDS[self.run.sequence.recipe.values].uses_pool or self.run.library.shares:
            raise UsageError(
                "sessions that share values are trained one after another, since each depends on all before it; "
                "leave out `jobs` and `ray`, or take a `recipe` with own values"
            )
        self.rows = [Row(k, each.video.name) for k, each in enumerate(self.run.found)]
        for row in self.rows[: self.run.done]:
            row.state = JOINED
        self.folder = folder_of(self.run.path)
        self._numbers = {row.name: row.number for row in self.rows}
        self._seconds: dict[int, float] = {}

    def train(self) -> None:
        """Train and join all that is missing. A FailedSessionsError names those that failed, and why."""
        if self.run.done:
            say(f"{self.run.path} holds {self.run.done} of {len(self.rows)} sessions")
        missing = self.rows[self.run.done :]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            for row in missing if self.discard else ():
                TaskFiles(self.folder, row.number).remove()
            say(f"training {len(missing)} sessions on {self.executor.sentence}")
            self._submit_ready()
            self._loop()
        self.run.write_results()
        self._finish()

    def _loop(self) -> None:
        written = time.monotonic()
        while any(row.state == TRAINING for row in self.rows):
            done = self.executor.next(POLL_SECONDS)
            if done is not None:
                self._take(done)
                self._submit_ready()
                if self._join() and time.monotonic() - written > RESULTS_SECONDS:
                    self.run.write_results()
                    written = time.monotonic()
            self._look()
            self.watch(self.rows)

    def _take(self, done: Done) -> None:
        row = self.rows[done.key]
        if done.error:
            row.state, row.why, row.code = FAILED, done.error, done.code
            say(f"session {row.number} ({row.name}) failed: {done.error}")
            return
        row.state = DONE
        self._seconds[row.number] = done.value

    def _submit_ready(self) -> None:
        """Hand on every session whose parent is there; those whose parent failed are blocked."""
        for row in self.rows:
            if row.state != WAITING:
                continue
            parents = self._parents(row.number)
            if any(self.rows[k].state in (FAILED, BLOCKED) for k in parents):
                row.state, row.why = BLOCKED, f"its parent {self.rows[parents[0]].name} failed"
            elif all(self.rows[k].state in (DONE, JOINED) for k in parents):
                for k in parents:
                    self._lay_out(k)
                row.state = TRAINING
                self.executor.submit(
                    Work(row.number, train_task, self._task(row.number, parents), self.threads, self.gpus)
                )

    def _task(self, number: int, parents: tuple[int, ...]) -> SessionTask:
        sequence, found = self.run.sequence, self.run.found[number]
        return SessionTask(
            sequence,
            found.elsewhere(),
            sequence.recipe_of(found.video),
            number,
            parents,
            real_path(self.run.path).resolve(),
            self.folder.resolve(),
            self.threads,
            self.device,
            self.save_every,
        )

    def _parents(self, number: int) -> tuple[int, ...]:
        """The numbers of a session's parent, that one's parent, and so on."""
        parent = self.run.found[number].video.parent
        if not parent:
            return ()
        first = self._numbers[parent]
        return (first, *self._parents(first))

    def _lay_out(self, number: int) -> None:
        """Put a session that is in the library where workers look for parents."""
        path = TaskFiles(self.folder, number).path("session")
        if not path.exists():
            write_atomically(path, entry_bytes(self.run.library.sessions[number]))

    def _join(self) -> bool:
        """Append the sessions that are next in order and done; whether there was one."""
        before = self.run.done
        while self.run.done < len(self.rows) and self.rows[self.run.done].state == DONE:
            row = self.rows[self.run.done]
            session = TaskFiles(self.folder, row.number).read_session(self.run.library.config)
            grown = self.run.library.with_session({}, session)
            grown.session_weights(row.number)  # a LibraryError where it is not what its record says
            self.run.take_on(write_library(grown, self.run.path), self._seconds[row.number])
            row.state, row.psnr = JOINED, session.record.psnr
            say(f"session {row.number} ({row.name}) is in the library, {self.run.done} of {len(self.rows)}")
        return self.run.done > before

    def _look(self) -> None:
        for row in self.rows:
            if row.state == TRAINING:
                said = TaskFiles(self.folder, row.number).progress()
                row.step, row.steps = said.get("step", row.step), said.get("steps", row.steps)
                row.psnr = said.get("psnr", row.psnr)

    def _finish(self) -> None:
        failed = [row for row in self.rows if row.state in (FAILED, BLOCKED)]
        if not failed:
            for row in self.rows:
                TaskFiles(self.folder, row.number).remove()
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()
            return
        kept = sum(row.state == DONE for row in self.rows)
        whys = "; ".join(f"{row.name}: {row.why}" for row in failed[:5])
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        error = FailedSessionsError(
            f"{len(failed)} of {len(self.rows)} sessions failed ({whys}{more}); {self.run.path} holds the first "
            f"{self.run.done}, {self.folder} {kept} more that are trained: run this again to go on"
        )
        error.exit_code = max(row.code for row in failed)
        raise error


def folder_of(library: Path) -> Path:
    """Where a run keeps the sessions that are not in the library yet."""
    real = real_path(library)
    return real.with_name(f"{real.name}.sessions")
