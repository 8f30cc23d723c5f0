"""What a session's weights are kept as: one interface for all kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_runtime.video.time_table import time_table
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights

Array = NDArray[np.float32]
Layout = dict[str, tuple[str, tuple[int | None, ...]]]


@dataclass(frozen=True)
class Materialised:
    """A session's network. weights, head: float32, by name.

    masks: bool, by name, where the weights are the shared pool's and a mask says which are the session's; None
    where the weights are the session's alone.
    """

    weights: dict[str, Array]
    head: dict[str, Array]
    masks: dict[str, NDArray[np.bool_]] | None = None

    def session_weights(self, config: ModelConfig, table: Array) -> SessionWeights:
        """As tensors, with a time table, float32 [N, 4L], to decode with."""
        weights = {name: torch.from_numpy(w) for name, w in self.weights.items()}
        if self.masks is None:
            masks = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in weights.items()}
        else:
            masks = {name: torch.from_numpy(mask) for name, mask in self.masks.items()}
        head = {name: torch.from_numpy(w) for name, w in self.head.items()}
        return SessionWeights(config, weights, masks, head, table)


class SessionValues(ABC):
    """The values one session decodes with, as its library keeps them. They never change."""

    kind: ClassVar[str]
    uses_pool: ClassVar[bool] = False
    coarse_table: ClassVar[bool] = False
    """Whether its time table lies on the grid of `pfnr_runtime.video.time_table`."""
    parent: int | None = None
    """Index of the earlier session whose values some of these are differences from."""

    @abstractmethod
    def materialise(
        self, config: ModelConfig, pool: Mapping[str, Array], weights_of: Callable[[int], Mapping[str, Array]]
    ) -> Materialised:
        """The network. pool: the library's shared values. weights_of: an earlier session's weights, by index."""

    @classmethod
    def session_table(cls, config: ModelConfig, frames: int, scalar: float) -> Array:
        """The time table of a new session with this s, rounded once from float64: float32 [N, 4L]."""
        return time_table(frames, scalar, config.embed_base, config.embed_levels).astype(np.float32)

    def table(self, config: ModelConfig, frames: int, scalar: float) -> Array:
        """The time table it decodes with: float32 [N, 4L]."""
        return self.session_table(config, frames, scalar)

    @property
    def own_table(self) -> bool:
        """Whether it has another time table than `session_table`."""
        return False

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[Any]]:
        """What the library's file holds of them, by the name below the session's."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the file's header holds of them, as plain JSON types; `kind` is added by the caller."""

    @classmethod
    @abstractmethod
    def layout(cls, config: ModelConfig, frames: int, facts: Mapping[str, Any]) -> tuple[Layout, Layout]:
        """Tensors that a file must and may hold: safetensors dtype and shape, None for any length, by name.

        Raises ValueError for facts that cannot be.
        """

    @classmethod
    @abstractmethod
    def read(
        cls, config: ModelConfig, facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> SessionValues:
        """The values that `tensors` and `facts` gave. Raises ValueError for what cannot be."""

    def pool_masks(self, config: ModelConfig) -> dict[str, NDArray[np.bool_]]:
        """Which of the pool's values it uses, by tensor name; nothing where it uses none."""
        return {}

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Bytes in the library's file, by what they are: `masks`, `values`, `head`, `table`."""
