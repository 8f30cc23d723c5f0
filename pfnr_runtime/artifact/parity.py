"""What "the same frames" means at each precision, and the comparison of one frame.

One rule per claim: exact frames are equal, fp32 frames equal except for rounding (`StepRule`); frames of a lower
precision lose no more quality than a stated budget (`BudgetRule`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import EXACT, ArtifactContract
from pfnr_runtime.errors import ParameterError, UsageError
from pfnr_runtime.video.metrics import PSNR_CEILING, capped_psnr, mse, mse_of_psnr, psnr_of_mse

Picture = NDArray[np.uint8]
# Engines round int8 and fp16 sums differently; this much lower a PSNR than was proven, in dB, changes the loss
# against the source by an eighth.
ENGINE_SLACK = 0.5
# Where the quality against the source is unknown: better than any session so far, so a strict floor.
ASSUMED_SOURCE_PSNR = 40.0
# PSNRs in reports are rounded to this many digits; a loss must be within its budget before rounding.
DIGITS = 3


@dataclass(frozen=True)
class FrameParity:
    """One frame, reference against artifact.

    - largest: in steps of 255.
    - differing, samples: counts.
    - psnr: between the two in dB, inf if equal.
    - loss: of PSNR against the source in dB, where the source is available.
    """

    frame: int
    largest: int
    differing: int
    samples: int
    psnr: float
    passed: bool
    loss: float | None = None

    def __bool__(self) -> bool:
        return self.passed

    @property
    def fraction(self) -> float:
        """Fraction of samples that differ."""
        return self.differing / self.samples

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; the PSNR of equal frames is null."""
        return {
            "frame": self.frame,
            "largest": self.largest,
            "differing": self.differing,
            "psnr": finite(self.psnr),
            "loss": self.loss,
        }


class ParityRule(Protocol):
    """A rule for single frames and for the whole video. claim: what holds if the rule is satisfied."""

    @property
    def claim(self) -> str: ...

    def compare(
        self, frame: int, reference: Picture, decoded: Picture, source: Picture | None = None
    ) -> FrameParity:
        """Compare one frame, uint8 [H, W, 3] each."""
        ...

    def allows(self, frame: int, samples: int, least_sum: int, least_squares: float) -> bool:
        """Whether a frame of so many samples can satisfy the rule, given lower bounds on the sums of the
        magnitudes and of the squares of its differences, in steps of 255.
        """
        ...

    def worst(self, frames: Sequence[FrameParity]) -> FrameParity:
        """The frame furthest from satisfying the rule."""
        ...

    def mean_problem(self, frames: Sequence[FrameParity]) -> str | None:
        """The problem with the video as a whole, or None."""
        ...

    def sentence(self) -> str:
        """The rule in words."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The rule as plain JSON types."""
        ...


@dataclass(frozen=True)
class StepRule:
    """Limits for every frame. max_step: largest difference allowed, in steps of 255. max_fraction: largest
    fraction of a frame's samples that may differ at all. max_psnr_change: largest change of the mean PSNR against
    the source, in dB, checked where the source is available.
    """

    max_step: int
    max_fraction: float
    max_psnr_change: float

    @property
    def claim(self) -> str:
        """See `ParityRule`."""
        return "the same frames" if self.max_step else "the same bytes"

    def __post_init__(self) -> None:
        if not 0 <= self.max_step <= 255:
            raise ParameterError("max_step", f"{self.max_step} is outside 0 to 255")
        if not 0 <= self.max_fraction <= 1:
            raise ParameterError("max_fraction", f"{self.max_fraction} is outside 0 to 1")

    def compare(
        self, frame: int, reference: Picture, decoded: Picture, source: Picture | None = None
    ) -> FrameParity:
        """See `ParityRule`."""
        difference = np.abs(reference.astype(np.int16) - decoded)
        largest, differing = int(difference.max()), int(np.count_nonzero(difference))
        passed = largest <= self.max_step and differing <= self.max_fraction * difference.size
        return _parity(frame, reference, decoded, source, passed, (largest, differing))

    def allows(self, frame: int, samples: int, least_sum: int, least_squares: float) -> bool:
        """See `ParityRule`."""
        return least_sum <= self.max_step * self.max_fraction * samples

    def worst(self, frames: Sequence[FrameParity]) -> FrameParity:
        """See `ParityRule`."""
        return max(frames, key=lambda f: (f.largest, f.differing))

    def mean_problem(self, frames: Sequence[FrameParity]) -> str | None:
        """See `ParityRule`."""
        change = mean_loss(frames)
        if change is None or abs(change) <= self.max_psnr_change:
            return None
        return (
            f"PSNR against the source is {-change:+.4f} dB off PyTorch's; {self.max_psnr_change:g} dB is allowed"
        )

    def sentence(self) -> str:
        """See `ParityRule`."""
        if not self.max_step:
            return "every sample of every frame equal"
        return (
            f"every frame at most {self.max_step} step of 255 off, on at most {self.max_fraction:.2%} of samples; "
            f"PSNR against the source within {self.max_psnr_change:g} dB"
        )

    def to_json(self) -> dict[str, Any]:
        """See `ParityRule`."""
        return asdict(self) | {"kind": "exact", "sentence": self.sentence()}


@dataclass(frozen=True)
class BudgetRule:
    """A loss of PSNR against the source of at most `budget` dB, per frame and on average.

    floors: per frame, the least PSNR to the reference in dB, checked instead where the source is unavailable: what
    the budget allows if the precision error is independent of the coding error, or `ENGINE_SLACK` below the value
    measured when the budget was proven against the source, whichever is lower.
    """

    budget: float
    floors: tuple[float, ...] = field(repr=False)

    claim: ClassVar[str] = "inside the budget"

    def compare(
        self, frame: int, reference: Picture, decoded: Picture, source: Picture | None = None
    ) -> FrameParity:
        """See `ParityRule`."""
        found = _parity(frame, reference, decoded, source, True)
        held = found.psnr >= self.floors[frame] if found.loss is None else found.loss <= self.budget
        return FrameParity(
            frame, found.largest, found.differing, found.samples, found.psnr, bool(held), found.loss
        )

    def allows(self, frame: int, samples: int, least_sum: int, least_squares: float) -> bool:
        """See `ParityRule`."""
        return least_squares / samples <= mse_of_psnr(self.floors[frame])

    def worst(self, frames: Sequence[FrameParity]) -> FrameParity:
        """See `ParityRule`."""
        return max(frames, key=lambda f: self.floors[f.frame] - f.psnr if f.loss is None else f.loss)

    def mean_problem(self, frames: Sequence[FrameParity]) -> str | None:
        """See `ParityRule`."""
        loss = mean_loss(frames)
        if loss is None or loss <= self.budget:
            return None
        return f"the mean loss against the source is {loss:.4f} dB; the budget is {self.budget:g} dB"

    def sentence(self) -> str:
        """See `ParityRule`."""
        return (
            f"loss of PSNR against the source at most {self.budget:g} dB, for every frame and on average; "
            f"without the source, every frame's PSNR to PyTorch's at least {min(self.floors):.2f} to "
            f"{max(self.floors):.2f} dB"
        )

    def to_json(self) -> dict[str, Any]:
        """See `ParityRule`."""
        return {"kind": "budget", "budget": self.budget, "floors": self.floors, "sentence": self.sentence()}


# Float32 sums in a different order, rounded to 8 bits, differ by one step on about 0.02 % of samples.
STEP_RULES = {
    EXACT: StepRule(max_step=0, max_fraction=0.0, max_psnr_change=0.0),
    "fp32": StepRule(max_step=1, max_fraction=0.0002, max_psnr_change=0.001),
}


def rule_for(contract: ArtifactContract) -> StepRule | BudgetRule:
    """The rule for an artifact's precision: of steps, or the budget of which its contract has the record.

    A UsageError where the contract lacks that record.
    """
    if contract.precision in STEP_RULES:
        return STEP_RULES[contract.precision]
    measured = contract.precision_report
    try:
        budget, between = float(measured["budget"]), [float(v) for v in measured["psnr_between"]]
        source = [float(v) for v in measured["source_psnr_fp32"]]
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"the {contract.precision} artifact lacks the record of its loss; export it again"
        ) from None
    if len(between) != contract.video.frames or len(source) != contract.video.frames:
        raise UsageError(f"the record of loss is not of {contract.video.frames} frames; export the session again")
    floors = (min(b - ENGINE_SLACK, likeness_floor(s, budget)) for b, s in zip(between, source, strict=True))
    return BudgetRule(budget, tuple(floors))


def likeness_floor(source_psnr: float, budget: float) -> float:
    """The PSNR between reference and artifact at which PSNR against the source falls by `budget` dB.

    For an error independent of the reference's own: mse = mse_source + mse_between, so the floor lies
    −10 log10(10^(budget/10) − 1) above the source's, 16.3 dB for 0.1 dB.
    """
    return min(PSNR_CEILING, source_psnr - 10 * math.log10(10 ** (budget / 10) - 1))


def mean_loss(frames: Sequence[FrameParity]) -> float | None:
    """Mean loss against the source in dB; None unless every frame was compared with it."""
    losses = [f.loss for f in frames if f.loss is not None]
    return float(np.mean(losses)) if losses and len(losses) == len(frames) else None


def source_loss(reference: Picture, decoded: Picture, source: Picture) -> float:
    """How much lower the decoded frame's PSNR against the source is than the reference's, in dB."""
    return capped_psnr(reference, source) - capped_psnr(decoded, source)


class Comparison:
    """Frames held against their reference under one rule, one after another.

    frames: what was found of each, in the order they came.
    """

    def __init__(self, rule: ParityRule) -> None:
        self.rule = rule
        self.frames: list[FrameParity] = []

    def add(self, frame: int, reference: Picture, decoded: Picture, source: Picture | None = None) -> FrameParity:
        """Compare one more frame, uint8 [H, W, 3] each."""
        self.frames.append(self.rule.compare(frame, reference, decoded, source))
        return self.frames[-1]

    def problems(self) -> list[str]:
        """What breaks the rule so far, in words; empty where it holds."""
        return problems_of(self.frames, self.rule) if self.frames else []


def finite(value: float | None) -> float | None:
    """A figure as JSON takes it: None in place of infinity."""
    return value if value is not None and math.isfinite(value) else None


def problems_of(frames: Sequence[FrameParity], rule: ParityRule) -> list[str]:
    """How the rule is broken, in words; empty if it holds."""
    problems = []
    bad = [f for f in frames if not f]
    if bad:
        worst = rule.worst(bad)
        loss = "" if worst.loss is None else f", {worst.loss:.3f} dB of PSNR against the source lost"
        problems.append(
            f"{len(bad)} of {len(frames)} frames break the rule; frame {worst.frame} is worst: {worst.largest} "
            f"steps of 255, {worst.fraction:.4%} of samples, PSNR between the two {worst.psnr:.2f} dB{loss}"
        )
    if (problem := rule.mean_problem(frames)) is not None:
        problems.append(problem)
    return problems


def _parity(
    frame: int,
    reference: Picture,
    decoded: Picture,
    source: Picture | None,
    passed: bool,
    counts: tuple[int, int] | None = None,
) -> FrameParity:
    if counts is None:
        difference = np.abs(reference.astype(np.int16) - decoded)
        counts = int(difference.max()), int(np.count_nonzero(difference))
    error = mse(reference, decoded) if counts[1] else 0.0
    loss = None if source is None else source_loss(reference, decoded, source)
    return FrameParity(frame, *counts, reference.size, psnr_of_mse(error), passed, loss)
