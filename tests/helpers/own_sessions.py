"""Libraries of sessions that own their values, trained in a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.libraries import made_record
from pfnr_runtime.coding.quantised import Quantised
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values import CodedValues, PlacedValues, SessionValues
from pfnr_train.library.values.coded import stream_shapes
from pfnr_train.model.config import ModelConfig
from pfnr_train.session.recipe import RECIPES

CODED = replace(RECIPES["default"], epochs=2, rate=0.01)
PLACED = replace(RECIPES["own"], epochs=2)


def coded_values(
    config: ModelConfig, seed: int, parent: int | None = None, inherits: tuple[str, ...] = ()
) -> CodedValues:
    """Random whole numbers, most of them 0."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in stream_shapes(config).items():
        numbers = rng.geometric(0.6, shape) - 1
        signs = rng.choice([-1, 1], shape)
        tensors[name] = Quantised((numbers * signs).astype(np.int32), -3)
    return CodedValues.of(tensors, parent, inherits)


def placed_values(config: ModelConfig, seed: int) -> PlacedValues:
    """Random numbers at a third of the places."""
    rng = np.random.default_rng(seed)
    shapes = config.tensor_shapes()
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    kept = {name: rng.random(shape) < 0.3 for name, shape in shapes.items()}
    head = {n: rng.standard_normal(shape).astype(np.float32) for n, shape in config.head_shapes().items()}
    return PlacedValues.of(weights, kept, head)


def with_values(library: Library, values: SessionValues, frames: int = 4) -> Library:
    """The library with one more session, of these values and a true digest."""
    index = len(library.sessions)
    record = made_record(library.config, index, frames)
    grown = library.with_session(library.weights, Session(record, values))
    record = replace(record, weights_sha256=weights_digest(grown.assemble(index)))
    return replace(grown, sessions=(*library.sessions, Session(record, values)))
