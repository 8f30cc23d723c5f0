"""The interface of lowerings of the Fourier block."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from pfnr_export.layers import Layer
from pfnr_export.lowerings.cost import LoweringCost
from pfnr_train.model.spectral import SpectralPlan


class Lowering(Layer):
    """The Fourier block as a layer: [B, C, H, W] → [B, O, rH, rW].

    Built from the block's plan and its masked weight [K, C, 2·O], real parts first. Equal to
    `pfnr_train.model.spectral.mix_by_definition` up to rounding. stores_weights: whether the file holds those
    weights themselves, not something computed from them, so that a mask can be an input of the graph.
    """

    inexact = "computes Fourier transforms, whose cosines are no whole numbers of any step"
    name: ClassVar[str]
    stores_weights: ClassVar[bool] = False

    def __init__(self, plan: SpectralPlan, weight: Tensor) -> None:
        super().__init__()
        self.plan = plan

    @classmethod
    @abstractmethod
    def cost(cls, plan: SpectralPlan, in_channels: int, out_channels: int) -> LoweringCost:
        """The memory traffic and arithmetic of one frame."""

    @classmethod
    def objection(cls, plan: SpectralPlan) -> str | None:
        """Why this lowering is not exact for a plan, or None if it is."""
        return None
