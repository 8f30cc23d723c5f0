"""A library with one session of random weights and masks: for timing what does not depend on training."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from pfnr_runtime.timetable import session_scalar
from pfnr_runtime.video_record import VideoRecord
from pfnr_train.config import ModelConfig
from pfnr_train.initialise import new_library
from pfnr_train.library import Library, Session, weights_digest
from pfnr_train.session_record import SessionRecord


def random_library(config: ModelConfig, frames: int = 132, density: float = 0.3, seed: int = 0) -> Library:
    """One session of `frames` frames whose masks keep a random `density` of every tensor."""
    rng = np.random.default_rng(seed)
    library = new_library(config, seed)
    width, height = config.size
    masks = {n: np.packbits(rng.random(w.shape) < density) for n, w in library.weights.items()}
    head = {n: rng.standard_normal(s).astype(np.float32) for n, s in config.head_shapes().items()}
    record = SessionRecord(
        video=VideoRecord("random", frames, width, height, Fraction(25)),
        scalar=session_scalar(0),
        density=density,
        seed=seed,
        epochs=0,
        psnr=None,
        ms_ssim=None,
        source_path="",
        source_sha256="",
        weights_sha256="",
    )
    drawn = replace(library, sessions=(Session(record, masks, head),))
    record = replace(record, weights_sha256=weights_digest(drawn.assemble(0)))
    return replace(library, sessions=(Session(record, masks, head),))
