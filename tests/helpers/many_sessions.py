"""Sequences of small clips whose sessions own their values, and an executor that runs them here in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from helpers.clips import write_lossless
from helpers.synthetic import moving_pattern
from pfnr_train.executors.base import Done, Executor, Work, machine_version, run_work

HEADER = """
name = "many"
size = "20x12"
[network]
preset = "tiny"
[recipe]
epochs = 2
batch = 2
"""


def make_sequence(folder: Path, count: int, parents: dict[int, int] | None = None, recipe: str = "own") -> Path:
    """Clips v0 … and the sequence file many.toml of them. parents: by number of the child."""
    text = HEADER + f'name = "{recipe}"\n'
    for k in range(count):
        if not (folder / f"v{k}.mkv").exists():
            write_lossless(folder / f"v{k}.mkv", moving_pattern(4, 20, 12, k))
        text += f'[[video]]\nname = "v{k}"\n'
        if k in (parents or {}):
            text += f'parent = "v{(parents or {})[k]}"\n'
    (folder / "many.toml").write_text(text)
    return folder / "many.toml"


class Backwards(Executor):
    """Runs work in this process when asked for results, the last submitted first."""

    def __init__(self, before: Callable[[Work], None] = lambda work: None) -> None:
        self._work: list[Work] = []
        self._before = before
        self.ended: list[int] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def sentence(self) -> str:
        return "this process, backwards"

    def submit(self, work: Work) -> None:
        self._work.append(work)

    def next(self, seconds: float) -> Done | None:
        work = self._work.pop()
        self._before(work)
        self.ended.append(work.key)
        return run_work(work.function, work.argument, work.key, machine_version())
