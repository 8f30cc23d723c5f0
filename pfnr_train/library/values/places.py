"""Own float32 values at some places of every tensor, 0 at all others; nothing is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pfnr_train.library.values.base import Array, Layout, Materialised, SessionValues
from pfnr_train.model.config import ModelConfig


@dataclass(frozen=True)
class PlacedValues(SessionValues):
    """places: packed bits by tensor name. values: float32 [places kept], in the order of places. head: by name."""

    kind: ClassVar[str] = "places"

    places: dict[str, NDArray[np.uint8]]
    values: dict[str, Array]
    head: dict[str, Array]

    @classmethod
    def of(
        cls, weights: Mapping[str, Array], kept: Mapping[str, NDArray[np.bool_]], head: dict[str, Array]
    ) -> PlacedValues:
        """The values of `weights` where `kept`, bool of the same shapes, says so."""
        values = {name: w[kept[name]] for name, w in weights.items()}
        return cls({name: np.packbits(kept[name]) for name in weights}, values, head)

    def materialise(
        self, config: ModelConfig, pool: Mapping[str, Array], weights_of: Callable[[int], Mapping[str, Array]]
    ) -> Materialised:
        """See `SessionValues`."""
        weights = {}
        for name, shape in config.tensor_shapes().items():
            weights[name] = np.zeros(shape, np.float32)
            kept = np.unpackbits(self.places[name], count=weights[name].size).astype(np.bool_)
            weights[name].reshape(-1)[kept] = self.values[name]
        return Materialised(weights, self.head)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """See `SessionValues`."""
        found: dict[str, NDArray[Any]] = {f"places/{name}": bits for name, bits in self.places.items()}
        found |= {f"values/{name}": values for name, values in self.values.items()}
        return found | {f"head/{name}": w for name, w in self.head.items()}

    def facts(self) -> dict[str, Any]:
        """See `SessionValues`."""
        return {}

    @classmethod
    def layout(cls, config: ModelConfig, frames: int, facts: Mapping[str, Any]) -> tuple[Layout, Layout]:
        """See `SessionValues`."""
        if facts:
            raise ValueError(f"own values at places with unknown {', '.join(sorted(facts))[:100]}")
        required: Layout = {}
        for name, shape in config.tensor_shapes().items():
            required[f"places/{name}"] = ("U8", ((int(np.prod(shape)) + 7) // 8,))
            required[f"values/{name}"] = ("F32", (None,))
        required |= {f"head/{name}": ("F32", shape) for name, shape in config.head_shapes().items()}
        return required, {}

    @classmethod
    def read(
        cls, config: ModelConfig, facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> PlacedValues:
        """See `SessionValues`."""
        places = {name: tensors[f"places/{name}"] for name in config.tensor_shapes()}
        values = {name: tensors[f"values/{name}"] for name in config.tensor_shapes()}
        for name, shape in config.tensor_shapes().items():
            kept = int(np.unpackbits(places[name], count=int(np.prod(shape))).sum())
            if kept != len(values[name]):
                raise ValueError(f"{len(values[name])} values of {name} at {kept} places")
        return cls(places, values, {name: tensors[f"head/{name}"] for name in config.head_shapes()})

    def sizes(self) -> dict[str, int]:
        """See `SessionValues`."""
        return {
            "masks": sum(bits.nbytes for bits in self.places.values()),
            "values": sum(values.nbytes for values in self.values.values()),
            "head": sum(w.nbytes for w in self.head.values()),
            "table": 0,
        }
