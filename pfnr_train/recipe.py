"""How a session is trained: everything a person may turn, with its default."""

from __future__ import annotations

from dataclasses import dataclass

from pfnr_runtime.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """One session's training. Raises UsageError for values that cannot work.

    epochs: passes over the frames. batch: frames a step. density: fraction of each tensor the masks keep,
    in (0, 1]. learning_rate: of weights, scores and head at its peak; it rises over the first `warmup`
    fraction of all steps, then falls along a cosine. ssim_weight: the loss is
    (1 − ssim_weight)·L1 + ssim_weight·(1 − SSIM). beta1, beta2: of Adam. seed: of scores, head and order.
    """

    epochs: int = 100
    batch: int = 1
    density: float = 0.5
    learning_rate: float = 1e-2
    warmup: float = 0.2
    ssim_weight: float = 0.3
    beta1: float = 0.5
    beta2: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "epochs": (self.epochs, 1 <= self.epochs <= 100_000, "1 to 100000"),
            "batch": (self.batch, 1 <= self.batch <= 1024, "1 to 1024"),
            "density": (self.density, 0 < self.density <= 1, "above 0, up to 1"),
            "learning rate": (self.learning_rate, 0 < self.learning_rate <= 1, "above 0, up to 1"),
            "warm-up": (self.warmup, 0 <= self.warmup < 1, "0 up to 1"),
            "SSIM weight": (self.ssim_weight, 0 <= self.ssim_weight <= 1, "0 to 1"),
            "beta1": (self.beta1, 0 <= self.beta1 < 1, "0 up to 1"),
            "beta2": (self.beta2, 0 <= self.beta2 < 1, "0 up to 1"),
            "seed": (self.seed, 0 <= self.seed < 2**63, "0 to 2^63 − 1"),
        }
        for what, (value, fine, allowed) in checks.items():
            if not fine:
                raise UsageError(f"{what} {value} is not allowed; choose {allowed}")
