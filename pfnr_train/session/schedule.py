"""How the learning rate moves over a session's training."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Fraction of the peak learning rate at a step: linear rise over `warmup`, then half a cosine to 0."""
    progress = (step + 1) / total
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))
