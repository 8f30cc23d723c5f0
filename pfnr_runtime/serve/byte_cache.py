"""A cache of byte strings within a fixed number of bytes: what was used longest ago goes first."""

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
        """The value, which thereby is the last to go; None if it is not there."""
        value = self._values.get(key)
        if value is None:
            self.misses += 1
            return None
        self.hits += 1
        self._values.move_to_end(key)
        return value

    def put(self, key: K, value: bytes) -> None:
        """Keep a value, unless it alone is more than fits."""
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
        """Bytes and values held, bytes allowed, and how often a value was there or not."""
        return {
            "bytes": self.held,
            "capacity": self.capacity,
            "pictures": len(self._values),
            "hits": self.hits,
            "misses": self.misses,
        }
