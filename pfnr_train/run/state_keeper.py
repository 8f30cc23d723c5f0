"""Saving a session's training as it goes, and taking up one that was saved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.leftovers import remove_leftovers
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_train.machine.ranks import ALONE, Ranks
from pfnr_train.run.state_fit import check_fit
from pfnr_train.run.stop_signals import StopSignals
from pfnr_train.run.training_state import RESTART, Identity, SavedState, machine_of, read_state, write_state
from pfnr_train.session.training import SessionTraining, StepResult, TrainingError

SAVE_EVERY = 300.0


@dataclass(frozen=True)
class Saving:
    """How often a training is saved, in seconds, and what to do with a state that is there already.

    resume: go on from it. discard: drop it. Neither: it is an error that there is one.
    """

    every: float = SAVE_EVERY
    resume: bool = False
    discard: bool = False


def find_state(path: Path, saving: Saving, ranks: Ranks = ALONE) -> SavedState | None:
    """The state to go on from, if any; a LibraryError where there is one and nobody said what to do with it.

    Call it under the library's lock: it clears away what a killed process left half-written.
    """
    if ranks.leads:
        remove_leftovers(path)
        if saving.discard:
            path.unlink(missing_ok=True)
    ranks.wait()
    if not path.exists():
        return None
    if not saving.resume:
        raise LibraryError(f"{path} holds a training that was interrupted; go on with `resume`, or {RESTART}")
    return read_state(path)


class StateKeeper:
    """Keeps one training's state in a file while its block runs, and takes the file away when it ends well.

    A block that ends in an exception saves a last time, where the training is at the end of a step. A file
    that cannot be written never ends a training: a message says so, and it is tried again later.
    """

    def __init__(
        self, path: Path, identity: Identity, saved: SavedState | None, every: float, stop: StopSignals
    ) -> None:
        self.path, self.identity, self.every, self.stop = path, identity, every, stop
        self._saved = saved
        self._training: SessionTraining | None = None
        self._between_steps = False
        self._saved_step = 0
        self._trouble = ""  # of the last attempt to save, said once
        if saved is not None and (difference := saved.identity.differences(identity)):
            raise LibraryError(
                f"{path} cannot be resumed: {difference}. Repeat the command that was interrupted, or {RESTART}"
            )

    def steps(self, training: SessionTraining) -> Iterator[StepResult]:
        """Train to the end from where the state is, saving between steps; KeyboardInterrupt when told to stop."""
        self._restore(training)
        self._training = training
        due = time.monotonic() + self.every
        with self.stop.deferred():
            for result in training.run():
                self._between_steps = True
                yield result
                if training.ranks.any(self.stop.requested):
                    raise KeyboardInterrupt
                if time.monotonic() >= due:
                    self._save_or_say()
                    due = time.monotonic() + self.every
                self._between_steps = False
        self._between_steps = True

    def _restore(self, training: SessionTraining) -> None:
        if self._saved is None:
            return
        try:
            check_fit(self._saved.tree, training)
            if (self._saved.step, self._saved.steps) != (self._saved.tree["step_count"], training.total_steps):
                raise ValueError(f"it says that it is after step {self._saved.step} of {self._saved.steps}")
            training.load_state_dict(self._saved.tree)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise LibraryError(f"{self.path} does not fit this training ({error}); {RESTART}") from None
        self._saved_step = training.step_count
        say(f"resuming after step {training.step_count} of {training.total_steps}")
        then, now = self._saved.machine, machine_of(training.execution)
        if changed := [f"{k} {then.get(k)} then, {now[k]} now" for k in now if then.get(k) != now[k]]:
            say(f"the last bits may differ from an unbroken training's: {', '.join(changed)}")
        self._saved = None

    def _save(self) -> bool:
        training = self._training
        if training is None or not self._between_steps or not training.ranks.leads:
            return False
        if training.step_count <= self._saved_step:
            return False
        machine = machine_of(training.execution)
        tree = training.state_dict()
        write_state(SavedState(self.identity, machine, training.step_count, training.total_steps, tree), self.path)
        self._saved_step = training.step_count
        return True

    def _save_or_say(self) -> None:
        try:
            self._save()
            self._trouble = ""
        except OSError as error:
            trouble = describe_os_error(error)
            if trouble != self._trouble:
                say(f"the training's state was not saved, and training goes on: {trouble}")
            self._trouble = trouble

    def __enter__(self) -> StateKeeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self._training is not None and self._training.ranks.leads:
                self.path.unlink(missing_ok=True)
            return
        with contextlib.suppress(OSError):
            self._save()
        if self._training is not None and self._saved_step:
            # What stopped a TrainingError would stop it again: only another recipe helps, and that starts anew.
            then = RESTART if isinstance(error, TrainingError) else "go on with `resume`"
            total = self._training.total_steps
            say(f"{self.path} holds the training after step {self._saved_step} of {total}: {then}")
