"""Limits of the `spatial` lowering, whose arithmetic grows with the square of the map's size."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.spatial import SpatialLowering
from pfnr_runtime.errors import ParameterError
from pfnr_train.model.spectral import SpectralPlan

_UNITS = {"MB": 10**6, "GB": 10**9, "MMAC": 10**6, "GMAC": 10**9}


@dataclass(frozen=True)
class SpatialBudget:
    """The most stored bytes and multiply-adds per frame that the `spatial` lowering may use."""

    weight_bytes: int = 64 * 10**6
    macs: int = 4 * 10**9

    def objection(
        self, lowering: type[Lowering], plan: SpectralPlan, in_channels: int, out_channels: int
    ) -> str | None:
        """Why a lowering is over the budget, stating its size, or None."""
        if lowering is not SpatialLowering:
            return None
        cost = lowering.cost(plan, in_channels, out_channels)
        if cost.weight_bytes <= self.weight_bytes and cost.macs <= self.macs:
            return None
        return (
            f"the spatial lowering of {in_channels} to {out_channels} channels at {plan.rows}x{plan.columns} "
            f"takes {cost.weight_bytes / 1e6:.1f} MB and {cost.macs / 1e9:.2f} GMAC per frame, over the budget of "
            f"{self}; use the lowering matmul, or allow it with a spatial budget of "
            f"{-(-cost.weight_bytes // 10**6)}MB,{-(-cost.macs // 10**6)}MMAC"
        )

    def __str__(self) -> str:
        return f"{self.weight_bytes / 1e6:g} MB and {self.macs / 1e9:g} GMAC"


DEFAULT_BUDGET = SpatialBudget()


def parse_budget(text: str) -> SpatialBudget:
    """'64MB', '4GMAC' or both separated by a comma; the other keeps its default."""
    values = {"weight_bytes": DEFAULT_BUDGET.weight_bytes, "macs": DEFAULT_BUDGET.macs}
    for part in text.split(","):
        match = re.fullmatch(
            r"(\d{1,9})(?:\.(\d{1,6}))?\s*([MG]B|[MG]MAC)", part.strip(), re.ASCII | re.IGNORECASE
        )
        if match is None:
            raise ParameterError(
                "spatial_budget",
                f"{text!r} is not sizes such as 64MB, 4GMAC or 64MB,4GMAC (units {', '.join(_UNITS)})",
            )
        unit = match[3].upper()
        amount = float(f"{match[1]}.{match[2] or 0}") * _UNITS[unit]
        values["weight_bytes" if unit.endswith("B") else "macs"] = round(amount)
    return SpatialBudget(**values)
