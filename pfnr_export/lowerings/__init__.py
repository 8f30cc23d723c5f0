"""Ways to write the Fourier block without FFTs.

A module of this package whose `LOWERING` is a `Lowering` is one; adding one is adding a file.
"""

from __future__ import annotations

from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.budget import DEFAULT_BUDGET, SpatialBudget
from pfnr_export.lowerings.matmul import MatmulLowering
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.records import find_records
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import spectral_plan

LOWERINGS: dict[str, type[Lowering]] = {
    found.name: found for found in find_records(__name__, __path__, "LOWERING")
}
AUTO = "auto"


def choose_lowering(
    name: str, config: ModelConfig | None = None, budget: SpatialBudget = DEFAULT_BUDGET
) -> type[Lowering]:
    """The lowering of this name for a network; a UsageError lists the known ones, or says why it cannot be used.

    `auto` picks the one that the cost model (`pfnr_export.lowerings.cost`) predicts to be the fastest of those
    that are exact and within the budget. Without a network only the name is checked, and `auto` is `matmul`,
    which is always exact.
    """
    if name != AUTO and name not in LOWERINGS:
        raise UsageError(f"Fourier lowering {name!r} is none of {', '.join((AUTO, *LOWERINGS))}")
    if config is None or config.fourier is None:
        return LOWERINGS.get(name, MatmulLowering)
    block = config.blocks()[config.fourier.block]
    plan = spectral_plan(config, block)
    channels = block.in_channels, block.fourier_channels
    if name == AUTO:
        usable = [
            lowering
            for lowering in LOWERINGS.values()
            if lowering.objection(plan) is None and budget.objection(lowering, plan, *channels) is None
        ]
        return min(usable, key=lambda lowering: lowering.cost(plan, *channels).seconds)
    chosen = LOWERINGS[name]
    if (problem := chosen.objection(plan) or budget.objection(chosen, plan, *channels)) is not None:
        raise UsageError(problem)
    return chosen
