"""Decoding a session in PyTorch by definition: the reference for every figure and proof."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_train.model.network import MaskedSession, SessionWeights, to_uint8


def decode_frames(session: SessionWeights, batch: int = 4) -> Iterator[NDArray[np.uint8]]:
    """All frames of a session in order, uint8 [≤batch, H, W, 3] at a time, in float32."""
    model = MaskedSession(session)
    for indices in torch.arange(len(session.time_table)).split(batch):
        yield to_uint8(model(indices))


def decode_all(session: SessionWeights, batch: int = 4) -> NDArray[np.uint8]:
    """All frames of a session: uint8 [N, H, W, 3]."""
    return np.concatenate(list(decode_frames(session, batch)))
