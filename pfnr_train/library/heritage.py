"""How many bytes a parent saves a coded session, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pfnr_runtime.coding.decode import decode_tensors
from pfnr_runtime.coding.encode import encode_tensors
from pfnr_runtime.coding.quantised import LARGEST, Quantised
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.library.values.coded import stream_shapes


@dataclass(frozen=True)
class Heritage:
    """A coded session compared with the same weights, on the same grids, coded without its parent.

    parent: its index. tensors: by name of those that are differences, bytes as such and bytes without the parent.
    size, alone: bytes of the whole stream, and of the stream without the parent.
    """

    parent: int
    tensors: dict[str, tuple[int, int]]
    size: int
    alone: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "session": self.parent,
            "bytes": self.size,
            "bytes_without": self.alone,
            "tensors": {n: {"bytes": own, "bytes_without": alone} for n, (own, alone) in self.tensors.items()},
        }

    def sentences(self) -> list[str]:
        """What it saved in all, and of each tensor."""
        whole = f"the parent saved {(self.alone - self.size) / 1e3:.2f} KB: {self.size / 1e3:.2f} instead of "
        lines = [f"{whole}{self.alone / 1e3:.2f} KB"]
        return lines + [
            f"  {name}: {own / 1e3:.2f} instead of {alone / 1e3:.2f} KB"
            for name, (own, alone) in self.tensors.items()
        ]


def heritage(library: Library, index: int) -> Heritage | None:
    """What its parent saves a session; None where it has no parent."""
    values = library.sessions[index].values
    if not isinstance(values, CodedValues) or values.parent is None:
        return None
    weights = library.session_weights(index).materialised()
    symbols = decode_tensors(values.data, stream_shapes(library.config))
    alone, tensors = dict(symbols), {}
    for name in values.inherits:
        own = symbols[name]
        assert isinstance(own, Quantised)
        numbers = np.rint(weights[name].numpy() / 2.0**own.exponent).clip(-LARGEST, LARGEST).astype(np.int32)
        alone[name] = Quantised(numbers, own.exponent)
        tensors[name] = (len(encode_tensors({name: own})), len(encode_tensors({name: alone[name]})))
    return Heritage(values.parent, tensors, len(values.data), len(encode_tensors(alone)))
