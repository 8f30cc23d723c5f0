"""The size a coded session aims at, and whether it got there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import UsageError
from pfnr_train.library.values import CodedValues
from pfnr_train.library.values.coded import stream_shapes
from pfnr_train.model.config import ModelConfig
from pfnr_train.session.recipe import Recipe

SIDE_BYTES = 360  # of a packed file besides the coded values: structure, record and digests
CLOSE = 0.02  # part by which a size may be off its target


@dataclass(frozen=True)
class SizeTarget:
    """Bytes of a session's packed file.

    wanted: that it was to take. reached: that it takes. least: that it would take with all weights 0.
    """

    wanted: float
    reached: int
    least: int

    @property
    def off(self) -> float:
        """By what part of the target the size is off; below 0 where it is smaller."""
        return self.reached / self.wanted - 1

    def sentence(self) -> str:
        """The size reached, and what to change where the target was missed."""
        text = f"{self.reached / 1e3:.1f} KB reached of a target of {self.wanted / 1e3:.1f} KB ({self.off:+.1%})"
        if abs(self.off) <= CLOSE:
            return text
        if self.off > 0:
            change = (
                "give more epochs, in which weights have time to become 0, or a larger target; this network "
                f"takes {self.least / 1e3:.1f} KB at least"
            )
        else:
            change = (
                "give more epochs, in which more weights become useful, a larger network (`preset` of a new "
                "library), or a smaller target"
            )
        return f"warning: target missed: {text}; {change}"


def wanted_bytes(recipe: Recipe, pixels: int) -> float | None:
    """The recipe's target for a video of so many pixels, all frames together; None where it has none."""
    return recipe.target_bytes or recipe.target_bpp * pixels / 8 or None


def reached_target(recipe: Recipe, pixels: int, config: ModelConfig, values: CodedValues) -> SizeTarget | None:
    """How a session's size compares with its recipe's target; None where there is no target."""
    wanted = wanted_bytes(recipe, pixels)
    return None if wanted is None else SizeTarget(wanted, packed_bytes(values), least_bytes(config))


def packed_bytes(values: CodedValues) -> int:
    """Bytes of a session's packed file, within about 50 for a canvas network and 400 for others."""
    return SIDE_BYTES + len(values.data)


def least_bytes(config: ModelConfig) -> int:
    """Bytes of a packed session with all weights 0: no training gives a smaller one."""
    nothing = {name: Quantised(np.zeros(shape, np.int32), 0) for name, shape in stream_shapes(config).items()}
    return packed_bytes(CodedValues.of(nothing))


def checked_target(recipe: Recipe, pixels: int, config: ModelConfig) -> float | None:
    """The target in bytes, None without one; a UsageError where no session of this network can reach it."""
    wanted = wanted_bytes(recipe, pixels)
    if wanted is None:
        return None
    least = least_bytes(config)
    if wanted <= least:
        raise UsageError(
            f"a target of {wanted / 1e3:.1f} KB cannot be reached: a session of this network with all weights "
            f"0 takes {least / 1e3:.1f} KB; ask for more, or take a smaller network"
        )
    return wanted
