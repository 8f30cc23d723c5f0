"""How a session is trained: everything a person may turn, with its default, and the named recipes."""

from __future__ import annotations

from dataclasses import dataclass

from pfnr_runtime.errors import UsageError
from pfnr_train.model.precision import PRECISIONS

# Kinds of values a session can have, by `pfnr_train.library.values.KINDS`.
VALUES = ("shared", "places", "coded")
LOSSES = ("rmse", "l1-ssim", "log-rmse")
OPTIMISERS = ("soap", "adam")
SCORE_STARTS = ("magnitude", "random")
SPREADS = ("by-kind", "narrow-whole", "uniform")


@dataclass(frozen=True)
class Recipe:
    """One session's training. Raises UsageError for values that cannot work.

    - values: what the session keeps (see `pfnr_train.library.values`): `coded`, its own numbers on grids,
      trained for the bytes they take; `places`, its own float32 numbers at some places; `shared`, masks over
      values that all of the library's sessions share.
    - rate: λ, what a bit per pixel costs in ln(rmse); with a target, where it starts from.
    - target_bytes, target_bpp: of coded values, the session's size in bytes or in bits per pixel; 0 for none.
    - parent: of coded values, index or name of an earlier session with own values, from whose weights these start,
      and whose tensors they are differences from wherever that takes fewer bits; empty for none.
    - noise: part of the training in which noise stands for rounding, in [0, 1].
    - levels: steps in the largest weight of a tensor at the start.
    - epochs: passes over the frames.
    - batch: frames per step.
    - density: fraction of all weights that the masks or places keep, in (0, 1].
    - spread: over tensors, `by-kind`, `narrow-whole` or `uniform` (see `pfnr_train.session.allocation`).
    - planned: videos a pool is meant for, which share its values evenly; more can follow. 0: as the scores choose.
    - anneal: part of the training over which weights that are all free are thinned out from the whole network (see
      `pfnr_train.session.annealing`), in [0, 1]; 0 lets scores choose them, as for a pool's later sessions.
    - learning_rate: of weights and head at its peak; it rises over the first `warmup` fraction of all steps, then
      falls along a cosine.
    - score_rate: of scores, and of log2 of the steps of grids; likewise.
    - loss: `rmse`, each frame's root mean square error, `log-rmse`, its logarithm, or `l1-ssim`, the paper's.
    - ssim_weight: of (1 − SSIM) in any of them.
    - optimiser: of the weights; scores, steps and head have Adam.
    - beta1, beta2: of its two moments; of Adam's too.
    - scores: what they start from, the weights' magnitudes or random numbers.
    - seed: of weights, scores, head, noise and order.
    - precision: of the passes through the network (see `pfnr_train.model.precision`).
    """

    values: str = "shared"
    rate: float = 4.0
    target_bytes: int = 0
    target_bpp: float = 0.0
    parent: str = ""
    noise: float = 0.7
    levels: float = 8.0
    epochs: int = 100
    batch: int = 2
    density: float = 0.5
    spread: str = "by-kind"
    planned: int = 8
    anneal: float = 0.6
    learning_rate: float = 1.5e-2
    score_rate: float = 3e-2
    warmup: float = 0.2
    loss: str = "rmse"
    ssim_weight: float = 0.0
    optimiser: str = "soap"
    beta1: float = 0.9
    beta2: float = 0.95
    scores: str = "magnitude"
    seed: int = 0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        checks = {
            "values": (self.values, self.values in VALUES, " or ".join(VALUES)),
            "rate": (self.rate, 0 < self.rate <= 10_000, "above 0, up to 10000"),
            "target size in bytes": (self.target_bytes, 0 <= self.target_bytes <= 2**40, "0 to 2^40"),
            "target rate in bits per pixel": (self.target_bpp, 0 <= self.target_bpp <= 100, "0 to 100"),
            "noisy part": (self.noise, 0 <= self.noise <= 1, "0 to 1"),
            "number of levels": (self.levels, 1 <= self.levels <= 1024, "1 to 1024"),
            "epochs": (self.epochs, 1 <= self.epochs <= 100_000, "1 to 100000"),
            "batch": (self.batch, 1 <= self.batch <= 1024, "1 to 1024"),
            "density": (self.density, 0 < self.density <= 1, "above 0, up to 1"),
            "spread": (self.spread, self.spread in SPREADS, " or ".join(SPREADS)),
            "number of planned videos": (self.planned, 0 <= self.planned <= 65536, "0 to 65536"),
            "annealed part": (self.anneal, 0 <= self.anneal <= 1, "0 to 1"),
            "score rate": (self.score_rate, 0 <= self.score_rate <= 1, "0 to 1"),
            "learning rate": (self.learning_rate, 0 < self.learning_rate <= 1, "above 0, up to 1"),
            "warm-up": (self.warmup, 0 <= self.warmup < 1, "0 up to 1"),
            "loss": (self.loss, self.loss in LOSSES, " or ".join(LOSSES)),
            "SSIM weight": (self.ssim_weight, 0 <= self.ssim_weight <= 1, "0 to 1"),
            "optimiser": (self.optimiser, self.optimiser in OPTIMISERS, " or ".join(OPTIMISERS)),
            "beta1": (self.beta1, 0 <= self.beta1 < 1, "0 up to 1"),
            "beta2": (self.beta2, 0 <= self.beta2 < 1, "0 up to 1"),
            "scores": (self.scores, self.scores in SCORE_STARTS, " or ".join(SCORE_STARTS)),
            "precision": (self.precision, self.precision in PRECISIONS, " or ".join(PRECISIONS)),
            "seed": (self.seed, 0 <= self.seed < 2**63, "0 to 2^63 − 1"),
        }
        for what, (value, fine, allowed) in checks.items():
            if not fine:
                raise UsageError(f"{what} {value} is not allowed; choose {allowed}")
        if self.target_bytes and self.target_bpp:
            raise UsageError("a target size and a target rate are two ways to say one thing; give one of them")
        if self.values == "coded" and self.loss != "log-rmse":
            raise UsageError(f"loss {self.loss} does not go with coded values, whose rate is paid in log-rmse")
        if self.values != "coded" and self.parent:
            raise UsageError(f"{self.values} values have no parent; coded ones may")
        if self.values != "coded" and (self.target_bytes or self.target_bpp):
            raise UsageError(f"{self.values} values have no size to aim at; coded ones have")


DEFAULT, SHARED = "default", "shared"

# `paper` is the authors' (arXiv 2306.11305, section 4): Adam with β1 0.5 on all, 0.7·L1 + 0.3·(1 − SSIM).
RECIPES: dict[str, Recipe] = {
    DEFAULT: Recipe(values="coded", loss="log-rmse", score_rate=1.5e-2, density=1.0),
    "own": Recipe(values="places", density=0.125, spread="narrow-whole"),
    SHARED: Recipe(),
    "paper": Recipe(
        epochs=150,
        batch=1,
        density=0.3,
        spread="uniform",
        planned=0,
        anneal=0.0,
        learning_rate=5e-4,
        score_rate=5e-4,
        loss="l1-ssim",
        ssim_weight=0.3,
        optimiser="adam",
        beta1=0.5,
        beta2=0.999,
        scores="random",
    ),
}


def named_recipe(name: str) -> Recipe:
    """The recipe of this name; a UsageError lists the names there are."""
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r} is none of {', '.join(RECIPES)}")
    return RECIPES[name]
