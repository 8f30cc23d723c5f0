"""Decoders whose weights lie on a grid, as sessions trained for their bytes have them, and what they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from helpers.libraries import made_library
from pfnr_export.emit import emit, serialise
from pfnr_export.lowerings import choose_lowering
from pfnr_export.lowerings.budget import DEFAULT_BUDGET
from pfnr_export.materialise import materialise
from pfnr_export.origin import session_origin
from pfnr_export.passes import run_passes
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.artifact.packed.pack import Origin
from pfnr_runtime.video.time_table import time_table
from pfnr_train.model.config import ModelConfig


def on_grid(values: NDArray[np.floating], bits: int) -> NDArray[np.float32]:
    """Values rounded to multiples of 2^-bits; never -0."""
    return (np.rint(values * 2.0**bits) / 2.0**bits + 0.0).astype(np.float32)


@dataclass(frozen=True)
class GridSession:
    """As `SessionWeights`, of weights that are what they are."""

    config: ModelConfig
    weights: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]
    time_table: NDArray[np.float32]

    def materialised(self) -> dict[str, torch.Tensor]:
        """See `SessionWeights`."""
        return self.weights


def grid_model(config: ModelConfig, frames: int = 6, bits: int = 5) -> tuple[bytes, Origin]:
    """The .onnx of a made session with weights on a grid, and its origin."""
    library = made_library(config, 1, frames)
    session, record = library.session_weights(0), library.sessions[0].record
    weights = {name: torch.from_numpy(on_grid(w.numpy(), bits)) for name, w in session.materialised().items()}
    head = {name: torch.from_numpy(on_grid(h.numpy(), 6)) for name, h in session.head.items()}
    table = on_grid(time_table(frames, record.scalar, config.embed_base, config.embed_levels), 11)
    lowering = choose_lowering("auto", config, DEFAULT_BUDGET)
    decoder, passes = run_passes(materialise(GridSession(config, weights, head, table), lowering))  # type: ignore[arg-type]
    contract = ArtifactContract(
        record.video, 0, "uint8", "fp32", lowering.name, passes, record.weights_sha256, record.quality()
    )
    tensors = {name: w.numpy() for name, w in weights.items()}
    tensors |= {f"head.{name}": h.numpy() for name, h in head.items()}
    return serialise(emit(decoder, contract)), replace(session_origin(library, 0), tensors=tensors)
