"""Reading a library of format 3: its base and last footer at first, a session when it is asked for."""

from __future__ import annotations

import copy
import hashlib
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.messages import say
from pfnr_train.library.appended.entry import (
    LENGTH_SIZE,
    MISTAKES,
    MOST_HEADER,
    Head,
    data_size,
    header_size,
    metadata_of,
    read_entry,
    read_head,
)
from pfnr_train.library.appended.footer import FOOTER_SIZE, MAGIC, Footer, looks_like_footer
from pfnr_train.library.appended.lookup import (
    NAMED,
    NODE_SIZE,
    Node,
    candidate,
    name_key,
    number_key,
    offset_of,
    unpack_node,
)
from pfnr_train.library.session import Session
from pfnr_train.model.config import ModelConfig

FORMAT_VERSION = 3
RESTORE = "restore it from a copy, or see what `pfnr-train fsck` can save"
_AHEAD = 2048  # read at once: most headers are shorter
_SEARCHED = 1 << 20  # bytes at a time, for the last footer of a file that does not end in one
_LAST = 8  # bytes of a footer, which are not all zero in one that was written
_MOST_NODES = 128  # that one session adds, the depth of two ways down
_RECENT = 4  # sessions kept in memory

ReadAt = Callable[[int, int], bytes]


class AppendedFile:
    """An open library of format 3, as it was when it was opened.

    - config: the network of all sessions.
    - base: size of the base.
    - last: footer of the last session, None where there is none.
    - unfinished: bytes after it of a session whose writing was cut off.

    read_at: reads so many bytes at an offset, fewer at the end. size: of the whole. inode: of the file, if it is
    one. Raises LibraryError.
    """

    def __init__(self, path: Path, read_at: ReadAt, size: int, inode: int = 0) -> None:
        self.path, self.read_at, self.size, self.inode = path, read_at, size, inode
        self.config, self.base = self._read_base()
        self.last = self._find_last()
        self.unfinished = size - self.end
        self._recent: OrderedDict[int, Session] = OrderedDict()
        self._heads: dict[int, Head] = {}

    @classmethod
    def open(cls, path: Path) -> AppendedFile:
        """The library in a file, which stays open. Raises OSError and LibraryError."""
        opened = _OpenFile(path)
        status = os.fstat(opened.fd)
        found = cls(path, opened.read, status.st_size, status.st_ino)
        if found.unfinished:
            say(f"{path} ends in a session that was not written to its end; the {found.count} before it are whole")
        return found

    def is_at(self, path: Path) -> bool:
        """Whether this is the file at `path` now, neither replaced nor changed since."""
        try:
            status = os.stat(path)
        except OSError:
            return False
        return (status.st_ino, status.st_size) == (self.inode, self.size)

    def grown(self, footer: Footer) -> AppendedFile:
        """The file after a session was written at its end; it is read as this one is."""
        later = copy.copy(self)
        later.last, later.size, later.unfinished = footer, footer.end, 0
        return later

    @property
    def count(self) -> int:
        """Number of sessions."""
        return 0 if self.last is None else self.last.number + 1

    @property
    def end(self) -> int:
        """Where the next session is written."""
        return self.base if self.last is None else self.last.end

    def session(self, number: int) -> Session:
        """Session `number`, its entry checked against its digest. A LibraryError where it is damaged."""
        if number not in self._recent:
            self._recent[number] = self.read_session(self.footer(number))
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return self._recent[number]

    def read_session(self, footer: Footer) -> Session:
        """The session of a footer, its entry checked against its digest. A LibraryError where it is damaged."""
        data = self.read_at(footer.entry, footer.size)
        if hashlib.sha256(data).digest() != footer.entry_sha256:
            raise self._damaged(f"session {footer.number} does not have the bytes that were written")
        try:
            return read_entry(self.config, data)
        except ValueError as error:
            raise self._damaged(f"session {footer.number}: {error}") from None

    def head(self, number: int) -> Head:
        """What session `number`'s header says; its tensors are not read."""
        return self._head_of(self.footer(number))

    def heads(self) -> list[Head]:
        """All headers, in order, each footer found from the one after it."""
        return [self._head_of(footer) for footer in reversed(self.footers())]

    def footers(self) -> list[Footer]:
        """All footers, the last session's first. A LibraryError where the chain is broken."""
        found: list[Footer] = []
        footer = self.last
        while footer is not None:
            found.append(footer)
            footer = self.before(footer)
        return found

    def before(self, footer: Footer) -> Footer | None:
        """The footer before one; None for the first. A LibraryError where it is damaged."""
        if footer.number == 0 and footer.entry == self.base:
            return None
        earlier = self._footer_at(footer.entry - FOOTER_SIZE)
        if earlier is None or earlier.number != footer.number - 1:
            raise self._damaged(f"what should be session {footer.number - 1} is none")
        return earlier

    def number_of(self, name: str) -> int | None:
        """The number of the session of this name; None where there is none."""
        if self.last is None:
            return None
        slot = self._candidate(name_key(name))
        if slot is None or not slot & NAMED:
            return None
        footer = self._required(offset_of(slot))
        return footer.number if self._head_of(footer).name == name else None

    def footer(self, number: int) -> Footer:
        """The footer of session `number`, 0 to count - 1."""
        if self.last is not None and number == self.last.number:
            return self.last
        slot = self._candidate(number_key(number))
        footer = None if slot is None or slot & NAMED else self._required(offset_of(slot))
        if footer is None or footer.number != number:
            raise self._damaged(f"session {number} is not where it should be")
        return footer

    def node(self, place: int) -> Node:
        """The lookup node at an offset. Raises ValueError."""
        if not self.base <= place <= self.size - NODE_SIZE:
            raise ValueError("its lookup tree is damaged")
        return unpack_node(self.read_at(place, NODE_SIZE))

    def key_of(self, slot: int) -> bytes:
        """The key that leads to a slot of the lookup tree."""
        footer = self._required(offset_of(slot))
        return name_key(self._head_of(footer).name) if slot & NAMED else number_key(footer.number)

    def _candidate(self, key: bytes) -> int | None:
        assert self.last is not None
        try:
            return candidate(self.last.root, key, self.node)
        except ValueError as error:
            raise self._damaged(str(error)) from None

    def _required(self, place: int) -> Footer:
        footer = self._footer_at(place)
        if footer is None:
            raise self._damaged("its lookup tree leads to no session")
        return footer

    def _footer_at(self, place: int) -> Footer | None:
        if not self.base <= place <= self.size - FOOTER_SIZE:
            return None
        footer = Footer.unpack(self.read_at(place, FOOTER_SIZE), place)
        if footer is None or footer.entry < self.base or footer.nodes[1] % NODE_SIZE:
            return None
        return footer

    def _head_of(self, footer: Footer) -> Head:
        if footer.number not in self._heads:
            try:
                self._heads[footer.number] = read_head(self.config, self._header_at(footer.entry), footer.size)
            except ValueError as error:
                raise self._damaged(f"session {footer.number}: {error}") from None
        return self._heads[footer.number]

    def _header_at(self, place: int) -> bytes:
        start = self.read_at(place, _AHEAD)
        size = header_size(start, self.size - place)
        return start[:size] if size <= len(start) else self.read_at(place, size)

    def _read_base(self) -> tuple[ModelConfig, int]:
        try:
            header = self._header_at(0)
            text = metadata_of(header)
            if text.keys() != {"format_version", "producer", "config"}:
                raise ValueError(f"it says {', '.join(sorted(text))[:100]}")
            return ModelConfig.from_json(text["config"]), len(header)
        except MISTAKES as error:
            raise self._damaged(f"its header is not valid ({str(error)[:300]})") from None

    def _find_last(self) -> Footer | None:
        """The last complete session's footer; a LibraryError where what follows is not a cut-off write."""
        if (footer := self._footer_at(self.size - FOOTER_SIZE)) is not None:
            return footer
        last, end = None, self.size
        while end > self.base and last is None:
            start = max(self.base, end - _SEARCHED)
            last = self._last_in(start, min(self.size, end + FOOTER_SIZE))  # one may lie across the border
            end = start
        after = self.base if last is None else last.end
        if self._is_complete(after):
            raise self._damaged(f"its last {self.size - after} bytes are no session")
        return last

    def _last_in(self, start: int, end: int) -> Footer | None:
        data = self.read_at(start, end - start)
        at = data.rfind(MAGIC)
        while at >= 0:
            if (footer := self._footer_at(start + at)) is not None:
                return footer
            at = data.rfind(MAGIC, 0, at + len(MAGIC) - 1)
        return None

    def _is_complete(self, place: int) -> bool:
        """Whether the bytes from `place` to the end are a whole session, or something else altogether.

        What a write that was cut off leaves is shorter than its header says, or zeros where a file system had no
        data yet for a file's new length.
        """
        rest = self.size - place
        if rest == 0 or not any(self.read_at(self.size - _LAST, _LAST)):
            return False
        length = self.read_at(place, LENGTH_SIZE)
        if len(length) < LENGTH_SIZE:
            return False
        header = LENGTH_SIZE + int.from_bytes(length, "little")
        if header > rest:
            return header > MOST_HEADER
        try:
            size = header + data_size(self.read_at(place, header))
        except MISTAKES:
            return True
        footer = self.read_at(self.size - FOOTER_SIZE, FOOTER_SIZE)
        return looks_like_footer(footer, place, size) or rest > size + FOOTER_SIZE + _MOST_NODES * NODE_SIZE

    def _damaged(self, what: str) -> LibraryError:
        return LibraryError(f"{self.path}: {what}; {RESTORE}")


class _OpenFile:
    """A file that stays open as long as something reads it."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.fd)

    def read(self, offset: int, size: int) -> bytes:
        return pread(self.fd, offset, size)


def pread(fd: int, offset: int, size: int) -> bytes:
    """So many bytes of a file at an offset; fewer at its end. Raises OSError."""
    parts = []
    while size > 0:
        part = os.pread(fd, min(size, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)
