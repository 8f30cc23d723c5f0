"""A materialised, lowered and shrunk decoder gives the frames of the masked model it came from."""

from __future__ import annotations

import itertools

import pytest
import torch
from helpers.libraries import fourier_config
from helpers.networks import networks, random_session
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_export.lowerings import LOWERINGS, choose_lowering
from pfnr_export.materialise import materialise
from pfnr_export.passes import run_passes
from pfnr_runtime.errors import UsageError
from pfnr_train.model.config import ModelConfig, preset_config
from pfnr_train.model.network import MaskedSession, SessionWeights

BATCH = torch.tensor([3, 0, 1, 1, 2])


def largest_difference(session: SessionWeights, dtype: torch.dtype, lowering: str = "matmul") -> float:
    decoder, _ = run_passes(materialise(session, LOWERINGS[lowering], dtype))
    frames, expected = decoder(BATCH), MaskedSession(session, dtype)(BATCH)
    assert frames.shape == expected.shape == (len(BATCH), 3, *reversed(session.config.size))
    assert frames.dtype == dtype
    return float((frames - expected).abs().max())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(config=networks(), seed=st.integers(0, 1000))
def test_in_double_precision_to_1e_10_and_in_single_to_5e_7(config: ModelConfig, seed: int) -> None:
    session = random_session(config, seed)
    assert largest_difference(session, torch.float64) <= 1e-10
    assert largest_difference(session, torch.float32) <= 5e-7


FOURIER_BLOCKS = list(itertools.product(["replace", "add", "concat"], ["centered", "reference"], [0, 1, 2]))


@pytest.mark.parametrize(("combine", "placement", "block"), [*FOURIER_BLOCKS, ("none", "centered", 0)])
def test_every_fourier_mode_placement_and_block(combine: str, placement: str, block: int) -> None:
    config = ModelConfig(
        (5, 7),
        (3, 2, 2),
        channels=8,
        lower_width=5,
        stem_width=16,
        bias=block == 1,
        output="sigmoid" if block == 2 else "tanh",
        fourier=fourier_config(combine, block, placement, 3),
    )
    session = random_session(config, block)
    assert largest_difference(session, torch.float64) <= 1e-10
    assert largest_difference(session, torch.float32) <= 5e-7


def test_a_preset_at_180p() -> None:
    session = random_session(preset_config("tiny", 320, 180))
    assert largest_difference(session, torch.float64) <= 1e-10
    assert largest_difference(session, torch.float32) <= 5e-7


def test_masked_out_weights_are_gone_from_the_decoder() -> None:
    config = preset_config("tiny", 40, 24)
    session = random_session(config)
    decoder = materialise(session, LOWERINGS["matmul"])
    for name, mask in session.masks.items():
        if name.endswith("conv.weight"):
            stored = dict(decoder.named_parameters())[name.replace("block.", "block_").replace(".conv", "_conv")]
            assert bool((stored[~mask] == 0).all())
    changed = random_session(config)
    for name, mask in changed.masks.items():
        changed.weights[name] = torch.where(mask, changed.weights[name], torch.nan)
    assert torch.equal(materialise(changed, LOWERINGS["matmul"])(BATCH), decoder(BATCH))


def test_an_unknown_lowering_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'fft' is none of auto, matmul"):
        choose_lowering("fft")
