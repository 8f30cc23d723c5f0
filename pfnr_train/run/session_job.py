"""One session's job, whoever asks for it: find its state, choose its epochs, train, measure, write.

library ─▶ state of an interrupted training? ─▶ epochs that fit a time budget ─▶ train, saving the state
        ─▶ measure what the library now decodes ─▶ write the library, drop the state
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_train.clips import Clip
from pfnr_train.library.capacity import say_lack_of_free_weights
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.machine.execution import DEFAULT, Execution
from pfnr_train.run.add_session import (
    OnStep,
    free_name,
    measured,
    new_record,
    new_training,
    relative_source,
    with_trained,
)
from pfnr_train.run.failures import explains_failures
from pfnr_train.run.progress import StepProgress
from pfnr_train.run.resumable import clear_finished_state, find_finished
from pfnr_train.run.state_keeper import Saving, StateKeeper, find_state
from pfnr_train.run.stop_signals import StopSignals
from pfnr_train.run.tensorboard import TensorBoardLog
from pfnr_train.run.time_budget import epochs_in
from pfnr_train.run.training_state import Identity, SavedState, state_path
from pfnr_train.session.recipe import SHARED, Recipe
from pfnr_train.session.size_target import SizeTarget, reached_target


@dataclass(frozen=True)
class Budget:
    """A time limit. seconds: from `started`, a reading of `time.monotonic`."""

    seconds: float
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Outcome:
    """What a job leaves.

    library: as its file holds it. session: index of the job's session in it.
    target: how its size compares with the one asked for; None where none was.
    """

    library: Library
    session: int
    target: SizeTarget | None = None


@dataclass(frozen=True)
class SessionJob:
    """All that decides how a clip becomes the next session of a library.

    - clip: frames of the library's size.
    - name: of the session; None for the clip's own.
    - recipe: how to train; a budget overrides its epochs.
    - execution: on what device, by how many processes.
    - saving: how often the state is saved, and what to do with one that is there already.
    - budget: the time in which all has to be done, None for as long as it takes.
    - repeated: whether this is the second call of a job that was interrupted, whose session may be in the library.
    - progress: told of every step.
    - observers: called after every step with the training and what it measured; they change nothing.
    - tensorboard: folder for TensorBoard's event files.
    - state: where its state is kept while it is trained; None for next to the library.
    - write: puts the library with the session away, and returns it as it is to be gone on from.
    """

    clip: Clip
    name: str | None
    recipe: Recipe
    execution: Execution = DEFAULT
    saving: Saving = field(default_factory=Saving)
    budget: Budget | None = None
    repeated: bool = False
    progress: Progress = SILENT
    observers: tuple[OnStep, ...] = ()
    tensorboard: Path | None = None
    state: Path | None = None
    write: Callable[[Library, Path], Library] = write_library

    def run(self, library: Library, path: Path) -> Outcome:
        """Train the clip as the next session of `library`, which lies or is to lie at `path`, and write it there.

        The caller holds the library's lock. With the same threads on a CPU the library's bytes do not depend on
        how often the job was interrupted. Of several processes the leading one alone measures and writes. Raises
        TrainingError if the loss stops being a number, LibraryError where the state there is of another training,
        UsageError for a name that is taken or a budget too short, and OSError where the file cannot be written.
        """
        ranks = self.execution.ranks
        if ranks.leads and self.state is None:
            clear_finished_state(library, path)
        saved = find_state(self._state_path(library, path), self.saving, ranks)
        if self.repeated and saved is None:
            finished = find_finished(
                library, self.clip, self.recipe, self.name, any_epochs=self.budget is not None
            )
            if finished is not None:
                say("nothing to resume: the session is in the library")
                return self._outcome(library, finished)
            say("nothing to resume: training from the start")
        name = free_name(library, self.name, self.clip)
        recipe = self._with_epochs(library, saved)
        if recipe.values == SHARED:
            say_lack_of_free_weights(library)
        if recipe.batch < ranks.size:
            raise UsageError(
                f"`batch={recipe.batch}` cannot be shared by {ranks.size} processes; give "
                f"{ranks.size} or more, the frames that all of them see in a step"
            )
        grown = self._train(library, path, name, recipe, saved)
        return self._outcome(grown, len(library.sessions))

    def _outcome(self, library: Library, index: int) -> Outcome:
        """The outcome, with a message about its size where a target was given."""
        values, pixels = library.sessions[index].values, math.prod(self.clip.frames.shape[:3])
        if not isinstance(values, CodedValues):
            return Outcome(library, index)
        target = reached_target(self.recipe, pixels, library.config, values)
        if target is not None and self.execution.ranks.leads:
            say(target.sentence())
        return Outcome(library, index, target)

    def _with_epochs(self, library: Library, saved: SavedState | None) -> Recipe:
        if self.budget is None:
            return self.recipe
        if saved is not None:
            return replace(self.recipe, epochs=saved.epochs)
        seconds, started = self.budget.seconds, self.budget.started
        return replace(
            self.recipe, epochs=epochs_in(seconds, started, library, self.clip, self.recipe, self.execution)
        )

    def _train(self, library: Library, path: Path, name: str, recipe: Recipe, saved: SavedState | None) -> Library:
        """The library with the session, written; until then its state is saved whatever ends the process."""
        ranks, clip = self.execution.ranks, self.clip
        identity = Identity.of(library, clip, recipe)
        ranks.check_same(identity.digest(), "clip, library or recipe are")
        record = new_record(library, clip, name, relative_source(clip, path), recipe)
        file = self._state_path(library, path)
        with (
            self._watched(name) as observers,
            StopSignals.listen() as stop,
            StateKeeper(file, identity, saved, self.saving.every, stop) as keeper,
        ):
            with explains_failures(recipe.batch, self.execution.device):
                training = new_training(library, clip, recipe, self.execution)
                self.progress.stage(f"training {name}", training.total_steps)
                for result in keeper.steps(training):
                    for observe in observers:
                        observe(training, result)
                trained = training.finish()
            grown = with_trained(library, record, trained)
            if ranks.leads:
                grown, _ = measured(grown, clip)
                grown = self.write(grown, path)
        ranks.wait()
        return grown if ranks.leads else read_library(path)

    def _state_path(self, library: Library, path: Path) -> Path:
        return state_path(path, len(library.sessions)) if self.state is None else self.state

    @contextlib.contextmanager
    def _watched(self, name: str) -> Iterator[tuple[OnStep, ...]]:
        steps = StepProgress(self.progress).on_step
        if self.tensorboard is None or not self.execution.ranks.leads:
            yield (steps, *self.observers)
            return
        with TensorBoardLog(self.tensorboard, name, self.clip.frames) as log:
            yield (steps, log.on_step, *self.observers)
