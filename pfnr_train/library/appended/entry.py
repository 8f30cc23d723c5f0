"""A session as a safetensors file in the library: its record in the metadata, its values as tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from pfnr_runtime.errors import PfnrError
from pfnr_train.library.checks import SessionEntry, layout_problems, require_finite
from pfnr_train.library.session import Session, SessionSummary
from pfnr_train.model.config import ModelConfig

METADATA_KEY = "pfnr"
LENGTH_SIZE = 8  # of a safetensors header's length
MOST_HEADER = 1 << 26
_DTYPES = {"uint8": "U8", "float32": "F32"}
# What taking apart a file that lies may raise.
MISTAKES = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, PfnrError)


@dataclass(frozen=True)
class Head:
    """What an entry's header says: the session, and the bytes of its tensors."""

    entry: SessionEntry
    tensor_bytes: int

    @property
    def name(self) -> str:
        """The session's."""
        return self.entry.record.video.name

    def summary(self) -> SessionSummary:
        """The short of it."""
        parent = self.entry.facts.get("parent")
        return SessionSummary(self.entry.record, self.entry.kind.kind, parent, self.tensor_bytes)


def entry_bytes(session: Session) -> bytes:
    """A session's entry. Same session, same bytes."""
    values = session.values
    text = {"record": session.record.to_json(), "values": {"kind": values.kind, **values.facts()}}
    metadata = {METADATA_KEY: json.dumps(text, sort_keys=True, allow_nan=False)}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in values.tensors().items()}
    return safetensors.numpy.save(tensors, metadata=metadata)


def header_size(data: bytes, most: int) -> int:
    """Size of the safetensors header that `data` begins with, its length included.

    A ValueError if it is over `most`, or what it says of its length cannot be.
    """
    size = LENGTH_SIZE + int.from_bytes(data[:LENGTH_SIZE], "little")
    if len(data) < LENGTH_SIZE or not LENGTH_SIZE + 2 <= size <= min(most, MOST_HEADER):
        raise ValueError("a header of an impossible length")
    return size


def metadata_of(header: bytes) -> Any:
    """The JSON in the metadata of a whole safetensors header. Raises ValueError, or what else JSON does."""
    outer = json.loads(header[LENGTH_SIZE:])
    return json.loads(outer["__metadata__"][METADATA_KEY])


def data_size(header: bytes) -> int:
    """Bytes of all tensors together, by a whole safetensors header. Raises one of `MISTAKES`."""
    outer = json.loads(header[LENGTH_SIZE:])
    return max((int(t["data_offsets"][1]) for name, t in outer.items() if name != "__metadata__"), default=0)


def read_head(config: ModelConfig, header: bytes, size: int) -> Head:
    """What the whole header of an entry of `size` bytes says. Raises ValueError."""
    try:
        text = metadata_of(header)
        if not isinstance(text, dict) or text.keys() != {"record", "values"}:
            raise ValueError("not a session")
        entry = SessionEntry.of(config, text["record"], text["values"])
        entry.layout(config)
    except MISTAKES as error:
        raise ValueError(str(error)[:300]) from None  # a hostile header may make any value as long as it likes
    return Head(entry, size - len(header))


def read_entry(config: ModelConfig, data: bytes) -> Session:
    """The session in an entry's bytes. Raises ValueError for what cannot be."""
    head = read_head(config, data[: header_size(data, len(data))], len(data))
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)[:300]) from None
    found = {name: (_DTYPES.get(str(t.dtype), str(t.dtype)), t.shape) for name, t in tensors.items()}
    problems = layout_problems(found, *head.entry.layout(config))
    if problems:
        raise ValueError(problems[0])
    checked = {name: require_finite(name, tensor) for name, tensor in tensors.items()}
    try:
        values = head.entry.kind.read(config, head.entry.facts, checked)
    except MISTAKES as error:
        raise ValueError(str(error)[:300]) from None
    return Session(head.entry.record, values)
