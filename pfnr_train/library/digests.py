"""SHA-256 of records and tensors: the one way that weights, libraries and training states are digested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_train.model.network import SessionWeights

Values = NDArray[Any] | Tensor


class Digest:
    """A SHA-256 that takes in JSON values and tensors; the order of the calls counts."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add_json(self, value: Any) -> Digest:
        """Take in a value of plain JSON types, with its keys sorted."""
        self._sha256.update(json.dumps(value, sort_keys=True).encode())
        return self

    def add_values(self, values: Values) -> Digest:
        """Take in the numbers of one tensor in C order, without its name or shape."""
        self._sha256.update(_bytes(values))
        return self

    def add_named(self, tensors: Mapping[str, Values], prefix: str = "") -> Digest:
        """Take in tensors in the order of their names, each as `prefix` and name, a zero byte and its numbers."""
        for name, values in sorted(tensors.items()):
            self._sha256.update(f"{prefix}{name}".encode() + b"\0")
            self.add_values(values)
        return self

    def raw(self) -> bytes:
        """The digest so far, 32 bytes."""
        return self._sha256.digest()

    def hex(self) -> str:
        """The digest so far, 64 hexadecimal digits."""
        return self._sha256.hexdigest()


def weights_digest(session: SessionWeights) -> str:
    """SHA-256 of all that decides a session's frames: configuration, masked weights, head, time table."""
    digest = Digest().add_json(session.config.to_json()).add_named(session.materialised())
    return digest.add_named(session.head, "head.").add_values(session.time_table).hex()


def typed_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of CPU tensors with their names, dtypes and shapes."""
    digest = Digest()
    for name, tensor in sorted(tensors.items()):
        digest.add_named({f"{name} {tensor.dtype} {tuple(tensor.shape)}": tensor})
    return digest.hex()


def _bytes(values: Values) -> bytes:
    if isinstance(values, Tensor):  # as bytes, since NumPy lacks bfloat16
        values = values.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return np.ascontiguousarray(values).tobytes()
