"""A library of random weights and masks: for timing what does not depend on training."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import ModelConfig
from pfnr_train.session.initialise import new_library


def random_library(
    config: ModelConfig, frames: int = 132, density: float = 0.3, seed: int = 0, sessions: int = 1
) -> Library:
    """Sessions of `frames` frames whose masks keep a random `density` of every tensor."""
    rng = np.random.default_rng(seed)
    library = new_library(config, seed)
    for index in range(sessions):
        library = _with_random_session(library, rng, index, frames, density, seed)
    return library


def _with_random_session(
    library: Library, rng: np.random.Generator, index: int, frames: int, density: float, seed: int
) -> Library:
    config = library.config
    width, height = config.size
    masks = {n: np.packbits(rng.random(w.shape) < density) for n, w in library.weights.items()}
    head = {n: rng.standard_normal(s).astype(np.float32) for n, s in config.head_shapes().items()}
    record = SessionRecord(
        video=VideoRecord("random" if index == 0 else f"random-{index}", frames, width, height, Fraction(25)),
        scalar=session_scalar(index),
        density=density,
        seed=seed,
        epochs=0,
        psnr=None,
        ms_ssim=None,
        source_path="",
        source_sha256="",
        weights_sha256="",
    )
    drawn = replace(library, sessions=(*library.sessions, Session(record, SharedValues(masks, head))))
    record = replace(record, weights_sha256=weights_digest(drawn.assemble(index)))
    return replace(library, sessions=(*library.sessions, Session(record, SharedValues(masks, head))))
