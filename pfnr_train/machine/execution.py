"""How a training is run: settings that should not change its result."""

from __future__ import annotations

from dataclasses import dataclass

from pfnr_train.machine.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Execution:
    """Where a training runs. device: of this process, as PyTorch names it. ranks: the processes that train
    together.
    """

    device: str = "cpu"
    ranks: Ranks = ALONE


DEFAULT = Execution()
