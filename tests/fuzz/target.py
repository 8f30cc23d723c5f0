"""What is fuzzed: a reader with its seeds, and how an outcome is judged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutate import Chance, Mutation
from pfnr_runtime.errors import PfnrError

LONGEST_MESSAGE = 4000


class ReaderError(AssertionError):
    """A reader that did what none may do."""


@dataclass(frozen=True)
class Ready:
    """A target that can run.

    - seeds: valid inputs.
    - read: reads an input as a user's command does.
    - mutate: makes another input of one.
    - named: exceptions that are answers.
    - close: called at the end.
    """

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]
    mutate: Mutation
    named: tuple[type[Exception], ...] = (PfnrError,)
    close: Callable[[], object] = lambda: None

    def input(self, number: int) -> bytes:
        """The input of this number: the same in every process."""
        chance = random.Random(number)
        return self.changed(chance.choice(self.seeds), chance)

    def changed(self, data: bytes, chance: Chance) -> bytes:
        """An input made from another."""
        changed = self.mutate(data, chance)
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            try:
                changed = self.mutate(changed, chance)
            except Exception:  # no longer of the format
                return changed
        return changed

    def run(self, data: bytes) -> bool:
        """Read an input; whether it was accepted. Whatever is not a named error passes through."""
        try:
            self.read(data)
        except self.named as error:
            text = str(error)
            if len(text) > LONGEST_MESSAGE:
                raise ReaderError(f"a message of {len(text)} characters: {text[:300]!r}") from error
            return False
        return True


# By name: puts what the target needs into a folder. Imports wait until then.
Prepare = Callable[[Path], Ready]
