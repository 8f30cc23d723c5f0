"""A least-recently-used cache of byte strings, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class ByteCache(Generic[K]):
    """At most `capacity` bytes of values; 0 keeps nothing. Not safe to use from two threads at once."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = self.hits = self.misses = 0
        self._values: OrderedDict[K, bytes] = OrderedDict()

    def get(self, key: K) -> bytes | None:
        """The value, now the most recently used; None if it is not cached."""
        value = self._values.get(key)
        if value is None:
            self.misses += 1
            return None
        self.hits += 1
        self._values.move_to_end(key)
        return value

    def put(self, key: K, value: bytes) -> None:
        """Keep a value, unless it alone exceeds the capacity."""
        if (old := self._values.pop(key, None)) is not None:
            self.held -= len(old)
        if len(value) > self.capacity:
            return
        self._values[key] = value
        self.held += len(value)
        while self.held > self.capacity:
            _, gone = self._values.popitem(last=False)
            self.held -= len(gone)

    def to_json(self) -> dict[str, int]:
        """Bytes and values held, capacity, hits and misses."""
        return {
            "bytes": self.held,
            "capacity": self.capacity,
            "pictures": len(self._values),
            "hits": self.hits,
            "misses": self.misses,
        }
