"""The masked model of a session is one module: whatever moves it moves all of it."""

from __future__ import annotations

import torch
from helpers.libraries import made_library, small_config

from pfnr_train.model.network import MaskedSession

BATCH = torch.tensor([0, 2, 1])


def test_it_moves_to_a_device_with_all_of_its_weights_masks_and_head() -> None:
    session = made_library(small_config("none", bias=True), 1).assemble(0)
    moved = MaskedSession(session).to("meta")
    frames = moved(BATCH.to("meta"))  # raises where a tensor stayed on the CPU
    assert frames.shape == (3, 3, 12, 20)
    assert frames.device.type == "meta"
    assert {w.device.type for w in session.weights.values()} == {"cpu"}


def test_made_in_double_precision_or_moved_there_it_gives_the_same_frames() -> None:
    session = made_library(small_config("concat"), 1).assemble(0)
    moved, made = MaskedSession(session).to(torch.float64)(BATCH), MaskedSession(session, torch.float64)(BATCH)
    assert moved.dtype == torch.float64
    assert torch.equal(moved, made)
