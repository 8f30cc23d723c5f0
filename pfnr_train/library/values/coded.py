"""Own values on grids: integers times a power-of-two step per tensor, entropy-coded as one stream, zeros included.

A tensor may be the difference from the same tensor of an earlier session, the parent: W = W_parent + own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.coding.decode import decode_tensors
from pfnr_runtime.coding.encode import encode_tensors
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.video.time_table import cosine_table, grid_time_table
from pfnr_train.library.values.base import Array, Layout, Materialised, SessionValues
from pfnr_train.model.config import ModelConfig

HEAD = "head."  # in front of the head's names, in the stream


@dataclass(frozen=True)
class CodedValues(SessionValues):
    """data: a stream of `pfnr_runtime.coding` (see `stream_shapes`). inherits: tensors that are differences."""

    kind: ClassVar[str] = "coded"
    coarse_table: ClassVar[bool] = True

    data: bytes
    parent: int | None = None
    inherits: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Quantised],
        parent: int | None = None,
        inherits: tuple[str, ...] = (),
    ) -> CodedValues:
        """Values from tensors by names of `stream_shapes`."""
        return cls(encode_tensors(tensors), parent if inherits else None, inherits)

    def materialise(
        self, config: ModelConfig, pool: Mapping[str, Array], weights_of: Callable[[int], Mapping[str, Array]]
    ) -> Materialised:
        """See `SessionValues`. A CodingError if the stream is damaged."""
        decoded = decode_tensors(self.data, stream_shapes(config))
        own = {name: t.values() if isinstance(t, Quantised) else t for name, t in decoded.items()}
        head = {name: own.pop(HEAD + name) for name in config.head_shapes()}
        if self.parent is not None:
            theirs = weights_of(self.parent)
            own = {name: theirs[name] + w if name in self.inherits else w for name, w in own.items()}
        return Materialised(own, head)

    @classmethod
    def session_table(cls, config: ModelConfig, frames: int, scalar: float) -> Array:
        """See `SessionValues`: on a grid, so that every machine computes the same."""
        if config.canvas is not None:
            return cosine_table(frames, config.canvas.terms)
        return grid_time_table(frames, scalar, config.embed_base, config.embed_levels)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """See `SessionValues`."""
        return {"coded": np.frombuffer(self.data, np.uint8)}

    def facts(self) -> dict[str, Any]:
        """See `SessionValues`."""
        return {} if self.parent is None else {"parent": self.parent, "inherits": list(self.inherits)}

    @classmethod
    def layout(cls, config: ModelConfig, frames: int, facts: Mapping[str, Any]) -> tuple[Layout, Layout]:
        """See `SessionValues`."""
        cls._heritage(config, facts)
        return {"coded": ("U8", (None,))}, {}

    @classmethod
    def read(
        cls, config: ModelConfig, facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> CodedValues:
        """See `SessionValues`."""
        parent, inherits = cls._heritage(config, facts)
        return cls(tensors["coded"].tobytes(), parent, inherits)

    @staticmethod
    def _heritage(config: ModelConfig, facts: Mapping[str, Any]) -> tuple[int | None, tuple[str, ...]]:
        if not facts:
            return None, ()
        if facts.keys() != {"parent", "inherits"}:
            raise ValueError(f"coded values with {', '.join(sorted(facts))[:100]} instead of parent and inherits")
        parent, inherits = facts["parent"], facts["inherits"]
        if type(parent) is not int or parent < 0:
            raise ValueError(f"parent {str(parent)[:20]} is not a session's number")
        known = config.tensor_shapes()
        if not isinstance(inherits, list) or not inherits or not all(n in known for n in inherits):
            raise ValueError("its inherited tensors are not this network's")
        return parent, tuple(inherits)

    def sizes(self) -> dict[str, int]:
        """See `SessionValues`."""
        return {"masks": 0, "values": len(self.data), "head": 0, "table": 0}


def stream_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of a session by its name in the stream: the network's, then the head's."""
    return config.tensor_shapes() | {HEAD + name: shape for name, shape in config.head_shapes().items()}
