"""A library of random weights: for timing what does not depend on training."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SharedValues
from pfnr_train.library.values.coded import CodedValues, stream_shapes
from pfnr_train.model.config import ModelConfig
from pfnr_train.session.initialise import new_library


def random_library(
    config: ModelConfig,
    frames: int = 132,
    density: float = 0.3,
    seed: int = 0,
    sessions: int = 1,
    fps: Fraction = Fraction(25),
) -> Library:
    """Sessions of `frames` frames whose masks keep a random `density` of every tensor; in a canvas network, coded
    values small enough to be exact.
    """
    rng = np.random.default_rng(seed)
    library = new_library(config, seed) if config.canvas is None else Library(config, {})
    for index in range(sessions):
        library = _with_random_session(library, rng, index, frames, density, seed, fps)
    return library


def _with_random_session(
    library: Library, rng: np.random.Generator, index: int, frames: int, density: float, seed: int, fps: Fraction
) -> Library:
    config = library.config
    width, height = config.size
    values = _coded(rng, config) if config.canvas is not None else _masked(rng, library, density)
    record = SessionRecord(
        video=VideoRecord("random" if index == 0 else f"random-{index}", frames, width, height, fps),
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
    drawn = replace(library, sessions=(*library.sessions, Session(record, values)))
    record = replace(record, weights_sha256=weights_digest(drawn.assemble(index)))
    return replace(library, sessions=(*library.sessions, Session(record, values)))


def _masked(rng: np.random.Generator, library: Library, density: float) -> SharedValues:
    masks = {n: np.packbits(rng.random(w.shape) < density) for n, w in library.weights.items()}
    heads = library.config.head_shapes().items()
    return SharedValues(masks, {n: rng.standard_normal(s).astype(np.float32) for n, s in heads})


def _coded(rng: np.random.Generator, config: ModelConfig) -> CodedValues:
    shapes = stream_shapes(config).items()
    return CodedValues.of({n: Quantised(rng.integers(-3, 4, s, np.int32), -4) for n, s in shapes})
