"""The interface of compared methods: learn videos in order, decode any learnt one, report size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.decode import decode_all
from pfnr_train.model.network import SessionWeights
from pfnr_train.session.recipe import Recipe

Array = NDArray[np.float32]
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Setting:
    """Shared settings of one comparison. videos: their total number. device: 'cpu' or 'cuda'.

    memory: total frames of old videos that a method with replay may keep.
    """

    config: ModelConfig
    recipe: Recipe
    videos: int
    device: str = "cpu"
    memory: int = 16


class Method(ABC):
    """One method, at some point of its run."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.config = setting.config
        self.recipe = setting.recipe

    @abstractmethod
    def learn(self, index: int, frames: Frames) -> float:
        """Learn video `index` (in order) from frames uint8 [N, H, W, 3]; returns seconds of training."""

    @abstractmethod
    def decode(self, index: int) -> Frames | None:
        """Video `index` as the method decodes it now: uint8 [N, H, W, 3]; None if it cannot yet."""

    @abstractmethod
    def stored_bytes(self) -> dict[str, int]:
        """Bytes that must be kept to decode all learnt videos and to continue learning, by part."""

    @abstractmethod
    def parameters(self) -> int:
        """The number of trained values, without masks and exemplars."""

    def table(self, index: int, frames: int) -> Array:
        """The time table of video `index`: float32 [N, 4L]; what a session of a library has."""
        return SharedValues.session_table(self.config, frames, session_scalar(index))


@dataclass
class DenseNetwork:
    """A whole network without masks, and a head for each video. weights, heads: float32, by name."""

    config: ModelConfig
    weights: dict[str, Array]
    heads: dict[int, dict[str, Array]]

    def decode(self, index: int, table: Array) -> Frames:
        """All frames of video `index`: uint8 [N, H, W, 3]."""
        weights = {name: torch.from_numpy(w) for name, w in self.weights.items()}
        masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        head = {name: torch.from_numpy(w) for name, w in self.heads[index].items()}
        return decode_all(SessionWeights(self.config, weights, masks, head, table))

    def stored_bytes(self, lengths: Mapping[int, int]) -> int:
        """Bytes of a safetensors file with all of this and the videos' lengths (frames, by index)."""
        tensors = {f"weights/{name}": w for name, w in self.weights.items()}
        for index, head in self.heads.items():
            tensors |= {f"heads/{index}/{name}": w for name, w in head.items()}
        return len(safetensors.numpy.save(tensors, metadata={"lengths": repr(dict(lengths))}))

    def parameters(self) -> int:
        """Number of weights."""
        heads = sum(w.size for head in self.heads.values() for w in head.values())
        return sum(w.size for w in self.weights.values()) + heads
