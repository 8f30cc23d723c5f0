"""The footer that completes a session: where its entry is, where to look up others, and the digests of both."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"pfnr end"
_FIELDS = struct.Struct("<8s4Q32s32s")
_CHECK = 16
FOOTER_SIZE = _FIELDS.size + _CHECK


@dataclass(frozen=True)
class Footer:
    """A session's footer.

    - place: offset of the footer itself.
    - number: the session's.
    - entry, size: offset and length of its entry. The footer before it ends where the entry begins.
    - root: offset of the root of the lookup tree with this session and all before it.
    - entry_sha256, nodes_sha256: of the entry, and of the nodes between entry and footer.
    """

    place: int
    number: int
    entry: int
    size: int
    root: int
    entry_sha256: bytes
    nodes_sha256: bytes

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.place + FOOTER_SIZE

    @property
    def nodes(self) -> tuple[int, int]:
        """Offset and length of the nodes between entry and footer."""
        start = self.entry + self.size
        return start, self.place - start

    def pack(self) -> bytes:
        """Its bytes."""
        fields = _FIELDS.pack(
            MAGIC, self.number, self.entry, self.size, self.root, self.entry_sha256, self.nodes_sha256
        )
        return fields + hashlib.sha256(fields).digest()[:_CHECK]

    @classmethod
    def unpack(cls, data: bytes, place: int) -> Footer | None:
        """The footer in these bytes, read at `place`; None if they are none, or one from elsewhere."""
        if len(data) != FOOTER_SIZE or not data.startswith(MAGIC):
            return None
        if hashlib.sha256(data[: _FIELDS.size]).digest()[:_CHECK] != data[_FIELDS.size :]:
            return None
        _, number, entry, size, root, *digests = _FIELDS.unpack(data[: _FIELDS.size])
        found = cls(place, number, entry, size, root, *digests)
        return found if 0 < entry < entry + size <= root < place else None


def looks_like_footer(data: bytes, entry: int, size: int) -> bool:
    """Whether these bytes were the footer of that entry before they were damaged; one of two marks is enough."""
    _, _, *fields = _FIELDS.unpack(data[: _FIELDS.size])
    return data.startswith(MAGIC) or fields[:2] == [entry, size]
