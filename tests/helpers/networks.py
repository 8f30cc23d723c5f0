"""Random small networks for property tests: every Fourier mode, placement, block, bias, output, odd grids."""

from __future__ import annotations

from math import prod

from hypothesis import strategies as st

from helpers.libraries import COMBINES, fourier_config, made_library
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import SessionWeights


@st.composite
def networks(draw: st.DrawFn, combine: str | None = None) -> ModelConfig:
    """A network of one to three blocks whose frames have at most 48 samples on a side."""
    grid = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    strides = tuple(draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3)))
    while max(grid) * prod(strides) > 48:
        strides = strides[:-1]
    lower, first = draw(st.integers(2, 6)), draw(st.integers(3, 8))
    return ModelConfig(
        grid,
        strides,
        channels=first,
        lower_width=lower,
        stem_width=draw(st.integers(1, 20)),
        bias=draw(st.booleans()),
        output=draw(st.sampled_from(["tanh", "sigmoid"])),
        fourier=fourier_config(
            combine or draw(st.sampled_from(COMBINES)),
            draw(st.integers(0, len(strides) - 1)),
            draw(st.sampled_from(["centered", "reference"])),
            # One channel fits everywhere: block outputs have at least two.
            1,
        ),
    )


def random_session(config: ModelConfig, seed: int = 0, frames: int = 4) -> SessionWeights:
    """A session of a library of two, with random masks."""
    return made_library(config, 2, frames, seed).session_weights(1)
