"""What a session's weights are while it trains: one interface for all forms, and what training leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_train.library.values import Materialised, SessionValues
from pfnr_train.model.config import ModelConfig
from pfnr_train.session.optimisers import SessionOptimiser
from pfnr_train.session.recipe import Recipe

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Start:
    """What a session's training starts from.

    - weights: float32, by tensor name: the library's pool, or the session's own first values.
    - frozen: bool, by name, which of them may not move.
    - session: its index.
    - pixels: of all frames of the video together.
    - parent: an earlier session's index, and its weights, where this one may be a difference from it.
    """

    config: ModelConfig
    weights: Arrays
    frozen: Mapping[str, NDArray[np.bool_]]
    session: int
    pixels: int
    device: torch.device
    parent: tuple[int, Arrays] | None = None


@dataclass(frozen=True)
class Trained:
    """What a session's training leaves: its values, and the network they give with what it trained in the pool."""

    values: SessionValues
    network: Materialised

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All weights by name: the pool as training left it, or the session's own."""
        return self.network.weights

    @property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The session's masks over the pool, by name; empty for own values."""
        return self.network.masks or {}

    @property
    def head(self) -> dict[str, NDArray[np.float32]]:
        """By name."""
        return self.network.head


class Form(ABC):
    """Leaves that an optimiser moves, and how a step's weights come from them.

    weights, head: leaves by name. optimiser: of all leaves.
    """

    weights: dict[str, Tensor]
    head: dict[str, Tensor]
    optimiser: SessionOptimiser

    def __init__(self, recipe: Recipe, start: Start) -> None:
        self.recipe, self.start, self.device = recipe, start, start.device

    def _leaf(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device).requires_grad_()

    @abstractmethod
    def leaves(self) -> dict[str, dict[str, Tensor]]:
        """Everything that the optimiser moves, by kind and name."""

    @abstractmethod
    def network(self, progress: float | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and head to decode with, differentiable.

        progress: of the training, in [0, 1), for a step that is about to be made; None to look only.
        """

    def objective(self, distance: Tensor, progress: float) -> Tensor:
        """What a step minimises, given the loss of its frames with the weights `network` gave last."""
        return distance

    def observe(self, step: int, progress: float) -> None:  # noqa: B027, most have nothing to learn
        """Take in the gradients of a step at this progress, in (0, 1], before the optimiser moves."""

    @property
    def size(self) -> float | None:
        """Bytes that the session would take with the weights that `network` gave last; None where not counted."""
        return None

    @abstractmethod
    def finish(self) -> Trained:
        """The session as it stands now, its leaves being all numbers."""

    def state(self) -> dict[str, Any]:
        """What it remembers besides leaves and optimiser, as nested dicts of tensors and plain values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027, most remember nothing
        """Take over what `state` gave."""

    def _head_arrays(self) -> dict[str, NDArray[np.float32]]:
        return {name: h.detach().cpu().numpy().copy() for name, h in self.head.items()}
