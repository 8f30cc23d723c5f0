"""Examining every byte of a library that counts, damaged or not: which sessions are whole, and what is wrong."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.appended.entry import header_size
from pfnr_train.library.appended.footer import FOOTER_SIZE, MAGIC, Footer
from pfnr_train.library.appended.reader import FORMAT_VERSION, AppendedFile
from pfnr_train.library.file import format_version, read_library
from pfnr_train.library.library import Library
from pfnr_train.library.session import Session


@dataclass(frozen=True)
class Inspection:
    """What was found. library: of which `whole`, session numbers, can be read; problems: in words."""

    library: Library
    whole: tuple[int, ...]
    problems: tuple[str, ...]


def inspect_library(path: Path) -> Inspection:
    """Read all of a library and check every digest. A LibraryError where no session can be saved."""
    if path.is_file() and format_version(path) == FORMAT_VERSION:
        return _inspect_appended(path)
    library = read_library(path)
    whole, problems = _digests(library, range(len(library.sessions)))
    return Inspection(library, whole, problems)


class _Found(Sequence[Session]):
    """Sessions by number, some of which may be missing or damaged: a LibraryError for these."""

    def __init__(self, file: AppendedFile, footers: dict[int, Footer]) -> None:
        self._file, self.footers = file, footers

    def __len__(self) -> int:
        return max(self.footers, default=-1) + 1

    @overload
    def __getitem__(self, index: int) -> Session: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Session, ...]: ...

    def __getitem__(self, index: int | slice) -> Session | tuple[Session, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if index not in self.footers:
            raise LibraryError(f"session {index} is missing")
        return self._file.read_session(self.footers[index])


def _inspect_appended(path: Path) -> Inspection:
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)

        def read_at(offset: int, length: int) -> bytes:
            with path.open("rb") as again:
                again.seek(offset)
                return again.read(length)

        base = header_size(data[:8], size)
        file = AppendedFile(path, read_at, base)
        footers, place = {}, data.find(MAGIC, base)
        while place >= 0:
            footer = Footer.unpack(data[place : place + FOOTER_SIZE], place)
            if footer is not None and footer.entry >= base:
                footers[footer.number] = footer
            place = data.find(MAGIC, place + 1)
        problems, end = [], base
        for footer in footers.values():
            if footer.entry != end:
                problems.append(f"{footer.entry - end} bytes before session {footer.number} are no session")
            start, length = footer.nodes
            if hashlib.sha256(data[start : start + length]).digest() != footer.nodes_sha256:
                problems.append(f"session {footer.number}: its lookup nodes are damaged")
            end = footer.end
        if end != size:
            problems.append(f"{size - end} bytes at the end are no session, or one whose writing was cut off")
    library = Library(file.config, {}, _Found(file, footers))
    problems += [f"session {k} is missing" for k in range(len(library.sessions)) if k not in footers]
    whole, wrong = _digests(library, sorted(footers))
    return Inspection(library, whole, (*problems, *wrong))


def _digests(library: Library, numbers: Sequence[int]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    whole: list[int] = []
    problems = []
    for number in numbers:
        try:
            library.session_weights(number)
            parent = library.sessions[number].values.parent
            if parent is not None and parent not in whole:
                raise LibraryError(f"session {number}: its parent {parent} is damaged")
            whole.append(number)
        except LibraryError as error:
            problems.append(str(error))
    return tuple(whole), tuple(problems)
