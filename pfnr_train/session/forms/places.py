"""Own float32 values at the places that matter most, found by thinning out a fresh network while it trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_train.library.values import Materialised, PlacedValues
from pfnr_train.session.forms.base import Start, Trained
from pfnr_train.session.forms.shared import SharedForm
from pfnr_train.session.recipe import Recipe

# What a network that is thinned out at once and never shared learns faster with: larger first weights of the time
# embedding, and Fourier weights, few of which stay, that move faster.
TIME_GAIN = 6.0
FOURIER_RATE = 3.0


class PlacedForm(SharedForm):
    """Like the first session of a library with shared values, except that nobody shares them."""

    def __init__(self, recipe: Recipe, start: Start, generator: torch.Generator) -> None:
        first = dict(start.weights)
        first["stem.0.weight"] = first["stem.0.weight"] * time_gains(start)
        super().__init__(recipe, replace(start, weights=first), generator)
        self.optimiser.raise_peak([w for n, w in self.weights.items() if ".fourier." in n], FOURIER_RATE)

    def finish(self) -> Trained:
        """See `Form`."""
        done = super().finish()
        weights = {name: np.where(done.masks[name], w, np.float32(0)) for name, w in done.weights.items()}
        values = PlacedValues.of(weights, done.masks, done.head)
        return Trained(values, Materialised(weights, done.head))


def time_gains(start: Start) -> NDArray[np.float32]:
    """What each input of the stem has its first weights multiplied by: float32 [4L].

    Level i of the embedding of time has b^i / 2 periods in the video. Where that is more than half a period a
    frame it says nothing of what lies between frames, so it starts smaller by the root of that excess.
    """
    config = start.config
    width, height = config.size
    frames = start.pixels / (width * height)
    periods = config.embed_base ** np.arange(config.embed_levels) / 2
    gains = np.full(4 * config.embed_levels, TIME_GAIN)
    gains[: 2 * config.embed_levels] *= np.sqrt(np.minimum(1.0, frames / 2 / periods)).repeat(2)
    return gains.astype(np.float32)
