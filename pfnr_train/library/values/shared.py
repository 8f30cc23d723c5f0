"""PFNR as published: a mask over values that all sessions of a library share, and a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pfnr_train.library.values.base import Array, Layout, Materialised, SessionValues
from pfnr_train.model.config import ModelConfig

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class SharedValues(SessionValues):
    """Values of the pool under masks.

    masks: by tensor name, bits packed eight to a byte (numpy.packbits order). head: by name. time_table: float32
    [N, 4L] only where the network was trained with a different table (imported sessions).
    """

    kind: ClassVar[str] = "shared"
    uses_pool: ClassVar[bool] = True

    masks: dict[str, Bits]
    head: dict[str, Array]
    time_table: Array | None = None

    def materialise(
        self, config: ModelConfig, pool: Mapping[str, Array], weights_of: Callable[[int], Mapping[str, Array]]
    ) -> Materialised:
        """See `SessionValues`. The weights are the pool's, the masks not yet folded in."""
        return Materialised(dict(pool), self.head, self.pool_masks(config))

    def table(self, config: ModelConfig, frames: int, scalar: float) -> Array:
        """See `SessionValues`."""
        return self.session_table(config, frames, scalar) if self.time_table is None else self.time_table

    @property
    def own_table(self) -> bool:
        """See `SessionValues`."""
        return self.time_table is not None

    def tensors(self) -> dict[str, NDArray[Any]]:
        """See `SessionValues`."""
        found: dict[str, NDArray[Any]] = {f"masks/{name}": bits for name, bits in self.masks.items()}
        found |= {f"head/{name}": w for name, w in self.head.items()}
        return found if self.time_table is None else found | {"time_table": self.time_table}

    def facts(self) -> dict[str, Any]:
        """See `SessionValues`."""
        return {}

    @classmethod
    def layout(cls, config: ModelConfig, frames: int, facts: Mapping[str, Any]) -> tuple[Layout, Layout]:
        """See `SessionValues`."""
        if facts:
            raise ValueError(f"shared values with unknown {', '.join(sorted(facts))[:100]}")
        required: Layout = {}
        for name, shape in config.tensor_shapes().items():
            required[f"masks/{name}"] = ("U8", ((int(np.prod(shape)) + 7) // 8,))
        for name, shape in config.head_shapes().items():
            required[f"head/{name}"] = ("F32", shape)
        return required, {"time_table": ("F32", (frames, 4 * config.embed_levels))}

    @classmethod
    def read(
        cls, config: ModelConfig, facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> SharedValues:
        """See `SessionValues`."""
        masks = {name: tensors[f"masks/{name}"] for name in config.tensor_shapes()}
        head = {name: tensors[f"head/{name}"] for name in config.head_shapes()}
        return cls(masks, head, tensors.get("time_table"))

    def pool_masks(self, config: ModelConfig) -> dict[str, NDArray[np.bool_]]:
        """See `SessionValues`."""
        found = {}
        for name, shape in config.tensor_shapes().items():
            bits = np.unpackbits(self.masks[name], count=int(np.prod(shape)))
            found[name] = bits.astype(np.bool_).reshape(shape)
        return found

    def sizes(self) -> dict[str, int]:
        """See `SessionValues`."""
        return {
            "masks": sum(bits.nbytes for bits in self.masks.values()),
            "values": 0,
            "head": sum(w.nbytes for w in self.head.values()),
            "table": 0 if self.time_table is None else self.time_table.nbytes,
        }
