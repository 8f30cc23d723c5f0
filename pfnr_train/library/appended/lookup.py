"""Finding a session by number or name: a tree of which adding a session writes only the few nodes that change.

A node has 16 slots. The way down is the SHA-256 of the key, four bits at a time, the highest first. A slot is 0
(nothing), the offset of a node, or the offset of a session's footer with the flag `NAMED` or `NUMBERED`. Nodes are
never changed: an addition writes new ones from the changed slot up to a new root, as in a persistent hash trie
(Bagwell, Ideal Hash Trees, 2001).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

NAMED, NUMBERED = 1 << 63, 1 << 62
_NODE = struct.Struct("<16Q")
NODE_SIZE = _NODE.size

Node = tuple[int, ...]
ReadNode = Callable[[int], Node]


def name_key(name: str) -> bytes:
    """The key of a session's name."""
    return b"name " + name.encode()


def number_key(number: int) -> bytes:
    """The key of a session's number."""
    return b"number %d" % number


def unpack_node(data: bytes) -> Node:
    """A node from its bytes. Raises ValueError where there are too few."""
    if len(data) != NODE_SIZE:
        raise ValueError("a lookup node that is cut short")
    return _NODE.unpack(data)


def candidate(root: int, key: bytes, read: ReadNode) -> int | None:
    """The only footer that can be the key's, as a slot; None where there is none. Raises ValueError if damaged."""
    place = root
    for digit in _digits(key):
        slot = read(place)[digit]
        if slot == 0 or slot >= NUMBERED:
            return slot or None
        if slot >= place:  # nodes refer to older ones, so that a damaged tree never goes round in circles
            break
        place = slot
    raise ValueError("its lookup tree is damaged")


def offset_of(slot: int) -> int:
    """The footer's offset in a slot."""
    return slot & (NUMBERED - 1)


class Additions:
    """New nodes on top of a tree, to be written from offset `start` on, for one session.

    read: a node that is in the file. key_of: the key of a slot that is in the tree.
    """

    def __init__(self, root: int, start: int, read: ReadNode, key_of: Callable[[int], bytes]) -> None:
        self._start, self._read, self._key_of = start, read, key_of
        self._nodes: list[list[int]] = []
        self._keys: dict[int, bytes] = {}
        self._top = self._own(root)

    def add(self, key: bytes, flag: int) -> None:
        """Let `key`, which the tree lacks, lead to the new session, by `NAMED` or `NUMBERED`."""
        self._keys[flag] = key
        place, digits = self._top, _digits(key)
        for depth, digit in enumerate(digits):
            node = self._nodes[place]
            there = node[digit]
            if there == 0:
                node[digit] = flag
                return
            if there < NUMBERED:
                place = self._own(there)
                node[digit] = self._offset(place)
                continue
            other = _digits(self._keys.get(there) or self._key_of(there))
            if other[: depth + 1] != digits[: depth + 1] or other == digits:
                raise ValueError("its lookup tree is damaged")
            place = self._own(0)  # both go one level down
            node[digit] = self._offset(place)
            self._nodes[place][other[depth + 1]] = there

    def pack(self) -> tuple[int, int, bytes]:
        """Offset of the footer that is to follow the nodes, offset of the new root, and the nodes' bytes."""
        count = len(self._nodes)
        footer = self._start + count * NODE_SIZE

        def final(slot: int) -> int:
            if slot in self._keys:
                return slot | footer
            if slot < self._start or slot >= NUMBERED:
                return slot
            # Made from the root down, they are written the other way round: each refers to what lies before it.
            return self._offset(count - 1 - (slot - self._start) // NODE_SIZE)

        packed = [_NODE.pack(*map(final, node)) for node in reversed(self._nodes)]
        return footer, self._offset(count - 1), b"".join(packed)

    def _own(self, place: int) -> int:
        """Index of the new node for the one at `place`; of an empty one for 0."""
        if place >= self._start:
            return (place - self._start) // NODE_SIZE
        self._nodes.append(list(self._read(place)) if place else [0] * 16)
        return len(self._nodes) - 1

    def _offset(self, index: int) -> int:
        return self._start + index * NODE_SIZE


def _digits(key: bytes) -> list[int]:
    return [int(digit, 16) for digit in hashlib.sha256(key).hexdigest()]
