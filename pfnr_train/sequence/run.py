"""Training a whole sequence into one library, continuing where the library left off."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_runtime.system.regular_file import require_regular
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library
from pfnr_train.library.session import SessionSummary
from pfnr_train.library.values import CodedValues
from pfnr_train.machine.execution import DEFAULT, Execution
from pfnr_train.run.progress import SequenceProgress
from pfnr_train.run.resumable import clear_finished_state
from pfnr_train.run.session_job import SessionJob
from pfnr_train.run.state_keeper import Saving
from pfnr_train.sequence.clips import FoundVideo
from pfnr_train.sequence.sequence import VideoSequence
from pfnr_train.session.initialise import new_library
from pfnr_train.session.size_target import packed_bytes, wanted_bytes


@dataclass
class SequenceRun:
    """A sequence, its library, and the results file next to that.

    - found: the sequence's videos on disk, in its order.
    - path: of the library, whose lock the caller holds.
    - execution, saving, tensorboard: of every session's job.

    Raises LibraryError if the existing library is not the beginning of this sequence.
    """

    sequence: VideoSequence
    found: Sequence[FoundVideo]
    path: Path
    execution: Execution = DEFAULT
    saving: Saving = field(default_factory=lambda: Saving(resume=True))
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        self.results_path = self.path.with_suffix(".json")
        self._seconds: dict[str, float] = {}
        if not self.path.exists():
            self.library = new_library(self.sequence.config, self.sequence.recipe.seed)
            return
        self.library = read_library(self.path)
        self._check_library()
        self._read_results()
        if self.execution.ranks.leads:
            clear_finished_state(self.library, self.path)

    @property
    def done(self) -> int:
        """The number of sessions already in the library."""
        return len(self.library.sessions)

    def train(self, progress: Progress = SILENT) -> None:
        """Train every video that the library lacks, and write the results after each."""
        if self.done:
            say(f"{self.path} holds {self.done} of {len(self.found)} sessions")
        overall = SequenceProgress([each.video.name for each in self.found], self.done)
        while self.done < len(self.found):
            overall.begin()
            self._train_next(progress)
            overall.end(self.library.sessions[-1].record.psnr)
        self.write_results()

    def _train_next(self, progress: Progress) -> None:
        """Train the first video that the library lacks, and write the results.

        A LibraryError if any session no longer has the weights its record says.
        """
        each = self.found[self.done]
        clip = each.read(self.sequence)
        for note in clip.info.notes if self.execution.ranks.leads else ():
            say(f"{each.video.name}: {note}")
        start = time.monotonic()
        job = SessionJob(
            clip,
            each.video.name,
            self.sequence.recipe_of(each.video),
            self.execution,
            self.saving,
            progress=progress,
            tensorboard=self.tensorboard,
        )
        grown = job.run(self.library, self.path).library
        self._seconds[each.video.name] = time.monotonic() - start
        for index in range(len(grown.sessions)) if grown.shares else (-1,):
            grown.session_weights(index % len(grown.sessions))
        self.library = grown
        self.write_results()

    def take_on(self, library: Library, seconds: float) -> None:
        """Go on from the library as it is with one more session, which took so many seconds."""
        self.library = library
        self._seconds[self.found[self.done - 1].video.name] = seconds

    def results(self) -> dict[str, Any]:
        """The contents of the results file, as plain JSON types. seconds: None if another run trained it."""
        summaries = self.library.summaries()
        sessions = [
            {
                "session": index,
                "name": session.record.video.name,
                "frames": session.record.video.frames,
                "psnr": session.record.psnr,
                "ms_ssim": session.record.ms_ssim,
                "seconds": self._seconds.get(session.record.video.name),
                "values": session.kind,
                "bytes": session.size,
                "weights_sha256": session.record.weights_sha256,
                **self._target(index, session),
            }
            for index, session in enumerate(summaries)
        ]
        figures = [s.record.psnr for s in summaries if s.record.psnr is not None]
        return {
            "sequence": self.sequence.name,
            "library": self.path.name,
            "library_bytes": self.path.stat().st_size if self.path.exists() else 0,
            "config": self.sequence.config.to_json(),
            "recipe": asdict(self.sequence.recipe),
            "sessions": sessions,
            "missing": [each.video.name for each in self.found[self.done :]],
            "mean_psnr": sum(figures) / len(figures) if figures else None,
            "used": {name: float(mask.mean()) for name, mask in self.library.used().items()},
        }

    def _target(self, index: int, session: SessionSummary) -> dict[str, Any]:
        """What was asked of a session's packed file and what it takes, in bytes; nothing where nothing was."""
        video, recipe = session.record.video, self.sequence.recipe
        wanted = wanted_bytes(recipe, video.frames * video.height * video.width)
        if wanted is None or session.kind != CodedValues.kind:
            return {}
        values = self.library.sessions[index].values
        assert isinstance(values, CodedValues)
        return {"target_bytes": wanted, "packed_bytes": packed_bytes(values)}

    def write_results(self) -> None:
        """Write the results file. Raises OSError."""
        if not self.execution.ranks.leads:
            return
        text = json.dumps(self.results(), indent=2, sort_keys=True, allow_nan=False)
        write_atomically(self.results_path, (text + "\n").encode())

    def _check_library(self) -> None:
        wanted = self.sequence.config
        if self.library.config != wanted:
            mine, theirs = self.library.config.to_json(), wanted.to_json()
            differing = [f"{k} {mine[k]} instead of {theirs[k]}" for k in mine if mine[k] != theirs[k]]
            self._refuse(f"its network has {', '.join(differing)}")
        if self.done > len(self.found):
            self._refuse(f"it has {self.done} sessions, and the sequence {len(self.found)}")
        recipe = self.sequence.recipe
        for index, (session, each) in enumerate(zip(self.library.summaries(), self.found, strict=False)):
            record, video = session.record, each.video
            start = 0 if video.frames is None else video.frames.start or 0
            stop = each.info.frames if video.frames is None or video.frames.stop is None else video.frames.stop
            pairs: dict[str, tuple[Any, Any]] = {
                "name": (record.video.name, video.name),
                "clip": (record.video.source, each.info.path.name),
                "first frame": (record.video.source_start, start),
                "frames": (record.video.frames, record.video.frames if stop is None else stop - start),
                "epochs": (record.epochs, recipe.epochs),
                "density": (record.density, recipe.density),
                "seed": (record.seed, recipe.seed),
            }
            for what, (has, wants) in pairs.items():
                if has != wants:
                    self._refuse(f"session {index} has {what} {has} instead of {wants}")

    def _read_results(self) -> None:
        if not self.results_path.exists():
            return
        try:
            require_regular(self.results_path)
            earlier = json.loads(self.results_path.read_text())
            recipe, sessions = earlier["recipe"], earlier["sessions"]
            seconds = {row["name"]: row["seconds"] for row in sessions if row["seconds"] is not None}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise LibraryError(
                f"{self.results_path} is not a results file of this command; move it elsewhere"
            ) from None
        if self.done and recipe != asdict(self.sequence.recipe):
            mine = asdict(self.sequence.recipe)
            keys = [key for key in sorted(mine.keys() | recipe.keys()) if mine.get(key) != recipe.get(key)]
            differing = [f"{key} {recipe.get(key)} instead of {mine.get(key)}" for key in keys]
            self._refuse(f"it was trained with {', '.join(differing)} ({self.results_path})")
        self._seconds = seconds

    def _refuse(self, reason: str) -> None:
        raise LibraryError(
            f"{self.path} is not the beginning of {self.sequence.name} as requested: {reason}; name another "
            "library with `library`, or request matching options"
        )
