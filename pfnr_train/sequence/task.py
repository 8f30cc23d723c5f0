"""One session of a sequence, trained by whatever worker of whatever machine, into a file of its own.

In the run's working folder, session k leaves `k.session`, an entry as libraries of format 3 have it, and
`k.json`, which says what training it is of; while it is being trained there are `k.training`, its resumable state,
and `k.progress`. A worker that finds these goes on from them, so that any number of them may die.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import filelock

from pfnr_runtime.errors import ClipError, LibraryError, PfnrError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_train.library.appended.entry import entry_bytes, read_entry
from pfnr_train.library.library import Library
from pfnr_train.library.session import Session, SessionList, SessionSummary
from pfnr_train.machine.execution import Execution
from pfnr_train.machine.ranks import Ranks
from pfnr_train.machine.threads import choose_device, set_threads
from pfnr_train.model.config import ModelConfig
from pfnr_train.run.session_job import SessionJob
from pfnr_train.run.state_keeper import Saving
from pfnr_train.run.training_state import Identity
from pfnr_train.sequence.clips import FoundVideo
from pfnr_train.sequence.sequence import VideoSequence
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining, StepResult

REPORT_SECONDS = 1.0
LOCK_SECONDS = 60.0  # for a worker that is taken for dead to notice it


@dataclass(frozen=True)
class SessionTask:
    """All that a worker needs to train one session.

    - found: the video. recipe: with its parent, if any.
    - number: of the session.
    - parents: numbers of its parent, that one's parent, and so on; each has its `k.session` in the folder.
    - library: where the library is, seen from which clips are remembered.
    - folder: the run's working folder, on storage that all workers see.
    """

    sequence: VideoSequence
    found: FoundVideo
    recipe: Recipe
    number: int
    parents: tuple[int, ...]
    library: Path
    folder: Path
    threads: int
    device: str
    save_every: float


@dataclass(frozen=True)
class TaskFiles:
    """The files of session `number` in a working folder."""

    folder: Path
    number: int

    def path(self, kind: str) -> Path:
        """One of them: `session`, `json`, `training`, `progress` or `lock`."""
        return self.folder / f"{self.number}.{kind}"

    def read_session(self, config: ModelConfig) -> Session:
        """The trained session; a LibraryError where it is not there or damaged."""
        path = self.path("session")
        try:
            return read_entry(config, path.read_bytes())
        except (OSError, ValueError) as error:
            raise LibraryError(f"{path} is missing or damaged ({error}); remove it and run again") from None

    def progress(self) -> dict[str, Any]:
        """What the worker said last; empty where it has said nothing yet."""
        try:
            found = json.loads(self.path("progress").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def remove(self) -> None:
        """Remove all of them."""
        for kind in ("session", "json", "training", "progress", "lock"):
            self.path(kind).unlink(missing_ok=True)


def train_task(task: SessionTask) -> float:
    """Train the session, or find that it is trained. Returns the seconds its training took.

    Raises a PfnrError or OSError; what was trained until then is in the folder.
    """
    files = TaskFiles(task.folder, task.number)
    if not task.folder.is_dir():
        raise PfnrError(f"working folder {task.folder} is not seen here; it must be where all workers see it")
    if not task.found.info.path.exists():
        raise ClipError(f"clip {task.found.info.path} is not seen here; it must be where all workers see it")
    set_threads(task.threads)
    try:
        with filelock.FileLock(files.path("lock"), timeout=LOCK_SECONDS):
            return _train(task, files)
    except filelock.Timeout:
        raise PfnrError(f"{files.path('lock')} is held: another worker trains this session") from None


def _train(task: SessionTask, files: TaskFiles) -> float:
    config = task.sequence.config
    known = {k: TaskFiles(task.folder, k).read_session(config) for k in task.parents}
    library = Library(config, {}, PartialSessions(task.number, known))
    clip = task.found.read(task.sequence)
    identity = Identity.of(library, clip, task.recipe).digest().hex()
    if (seconds := _finished(files, identity, config)) is not None:
        return seconds
    earlier = _earlier_seconds(files)
    start, device = time.monotonic(), choose_device(task.device)

    def write(grown: Library, path: Path) -> Library:
        write_atomically(files.path("session"), entry_bytes(grown.sessions[-1]))
        return grown

    SessionJob(
        clip,
        task.found.video.name,
        task.recipe,
        Execution(device, Ranks(device=device)),
        Saving(task.save_every, resume=True),
        observers=(_Reporter(files, start, earlier).on_step,),
        state=files.path("training"),
        write=write,
    ).run(library, task.library)
    seconds = earlier + time.monotonic() - start
    write_atomically(files.path("json"), json.dumps({"identity": identity, "seconds": seconds}).encode())
    return seconds


def _finished(files: TaskFiles, identity: str, config: ModelConfig) -> float | None:
    """The seconds that the training which left its session here took; None if there is none of this identity."""
    try:
        found = json.loads(files.path("json").read_text())
        if found["identity"] == identity:
            files.read_session(config)
            return float(found["seconds"])
    except (OSError, ValueError, KeyError, TypeError, LibraryError):
        return None
    return None


def _earlier_seconds(files: TaskFiles) -> float:
    """Seconds that earlier workers trained for whose state is gone on from."""
    seconds = files.progress().get("seconds", 0.0) if files.path("training").exists() else 0.0
    return float(seconds) if isinstance(seconds, (int, float)) else 0.0


class _Reporter:
    """Writes how far a training is, for whoever shows it."""

    def __init__(self, files: TaskFiles, start: float, earlier: float) -> None:
        self._path, self._start, self._earlier, self._due = files.path("progress"), start, earlier, 0.0

    def on_step(self, training: SessionTraining, result: StepResult) -> None:
        """Take note of a step."""
        now = time.monotonic()
        if now < self._due and result.step < training.total_steps:
            return
        self._due = now + REPORT_SECONDS
        said = {
            "step": result.step,
            "steps": training.total_steps,
            "psnr": round(result.psnr, 2),
            "seconds": self._earlier + now - self._start,
        }
        part = self._path.with_suffix(".part")
        try:
            part.write_text(json.dumps(said))
            os.replace(part, self._path)
        except OSError:
            return  # a full disk takes away only the display


class PartialSessions(SessionList):
    """The sessions that a worker sees of a library of `count`: its session's parents."""

    def __init__(self, count: int, known: dict[int, Session], added: tuple[Session, ...] = ()) -> None:
        self._count, self._known, self._added = count, known, added

    def __len__(self) -> int:
        return self._count + len(self._added)

    @overload
    def __getitem__(self, index: int) -> Session: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Session, ...]: ...

    def __getitem__(self, index: int | slice) -> Session | tuple[Session, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        number = index + len(self) if index < 0 else index
        if number >= self._count:
            return self._added[number - self._count]
        if number not in self._known:
            raise LibraryError(f"session {number} is not here")
        return self._known[number]

    def number_of(self, name: str) -> int | None:
        """See `SessionList`; of the known ones."""
        return next((k for k, s in self._known.items() if s.record.video.name == name), None)

    def summaries(self) -> list[SessionSummary]:
        """See `SessionList`; of the known ones."""
        return [session.summary() for session in self._known.values()]

    def with_added(self, session: Session) -> SessionList:
        """See `SessionList`."""
        return PartialSessions(self._count, self._known, (*self._added, session))

    def with_last(self, session: Session) -> SessionList:
        """See `SessionList`."""
        return PartialSessions(self._count, self._known, (*self._added[:-1], session))
