"""Libraries made of sessions of others: merged, extracted, without some, saved from a damaged file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.appended.writer import write_whole
from pfnr_train.library.file import real_path, write_library
from pfnr_train.library.library import Library
from pfnr_train.library.session import Session, SessionSummary
from pfnr_train.library.values import CodedValues


@dataclass(frozen=True)
class Selection:
    """Some sessions of a library. path: its file. numbers: ascending."""

    library: Library
    path: Path
    numbers: Sequence[int]

    def summaries(self) -> dict[int, SessionSummary]:
        """The short of each, by number; no other is read."""
        if self.library.rewritten:
            return {number: self.library.sessions[number].summary() for number in self.numbers}
        every = self.library.summaries()
        return {number: every[number] for number in self.numbers}


def write_selections(selections: Sequence[Selection], path: Path) -> int:
    """Write a library of these sessions, one selection after another; returns how many there are.

    Atomically, one session in memory at a time where no values are shared. A LibraryError, with nothing written,
    where networks or names collide, a parent is missing, or a library that shares values is to be merged.
    """
    first = selections[0]
    for other in selections[1:]:
        if other.library.config != first.library.config:
            raise LibraryError(
                f"{other.path} has another network than {first.path}; only equal ones can be merged"
            )
    if len(selections) > 1 and (sharing := [s.path for s in selections if s.library.shares]):
        raise LibraryError(
            f"{sharing[0]} has sessions that share values, which another library's would change; "
            "only sessions that own their values can be merged (`pfnr-train info` shows the kinds)"
        )
    summaries = [each.summaries() for each in selections]
    _check_names(selections, summaries)
    for each, known in zip(selections, summaries, strict=True):
        _check_parents(each, known)
    sessions = _sessions(selections, path)
    if first.library.shares:
        write_library(replace(first.library, sessions=tuple(sessions)), path)
    else:
        write_whole(first.library.config, sessions, real_path(path))
    return sum(len(each.numbers) for each in selections)


def dependents(summaries: Sequence[SessionSummary], numbers: Sequence[int]) -> list[int]:
    """The sessions, none of `numbers`, that have one of them for a parent."""
    gone = set(numbers)
    return [k for k, summary in enumerate(summaries) if summary.parent in gone and k not in gone]


def _sessions(selections: Sequence[Selection], path: Path) -> Iterator[Session]:
    """The sessions with their new parents' numbers and their clips' places as seen from `path`."""
    start = 0
    for each in selections:
        moved = {old: start + new for new, old in enumerate(each.numbers)}
        start += len(each.numbers)
        here, there = real_path(each.path).resolve().parent, path.resolve().parent
        for number in each.numbers:
            session = each.library.sessions[number]
            record, values = session.record, session.values
            if record.source_path:
                source = os.path.relpath(here / record.source_path, there)
                record = replace(record, source_path=Path(source).as_posix())
            if isinstance(values, CodedValues) and values.parent is not None:
                values = replace(values, parent=moved[values.parent])
            yield Session(record, values)


def _check_names(selections: Sequence[Selection], summaries: Sequence[dict[int, SessionSummary]]) -> None:
    seen: dict[str, Path] = {}
    for each, known in zip(selections, summaries, strict=True):
        for number in each.numbers:
            name = known[number].record.video.name
            if name in seen:
                raise LibraryError(
                    f"{seen[name]} and {each.path} both have a session called {name!r}; leave one of them out: "
                    f"pfnr-train extract -l {each.path} -o part.pfnr SESSION..."
                )
            seen[name] = each.path


def _check_parents(each: Selection, known: dict[int, SessionSummary]) -> None:
    for number, summary in known.items():
        parent = summary.parent
        if parent is not None and parent not in known:
            raise LibraryError(
                f"{each.path}: session {number} ({summary.record.video.name}) is stored as differences from "
                f"session {parent}; take that one too"
            )
