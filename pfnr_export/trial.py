"""Makes the artifact that pfnr-doctor decodes, and its golden file: `python -m pfnr_export.trial [FOLDER]`.

A network of random weights: its pictures do not matter, only that every engine reproduces them. The weights come
from a seed and the stem's table is computed in float64, so that every machine makes the same artifact. A test
fails when it must be made again, because the exporter or the contract changed.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.artifact.golden import WHOLE_FRAMES
from pfnr_runtime.doctor.trial import ARTIFACT, GOLDEN
from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import FourierConfig, ModelConfig
from pfnr_train.session.initialise import weight_bound

# Every kind of layer, small: stem, Fourier block, two convolutions, shuffles, head.
CONFIG = ModelConfig((9, 16), (2, 2), channels=4, lower_width=4, stem_width=8, fourier=FourierConfig(block=0))
FRAMES, SEED, DENSITY, GAIN = 6, 0, 0.5, 1.5


def trial_library() -> Library:
    """The library that the trial is of."""
    return drawn_library(CONFIG, FRAMES)


def drawn_library(config: ModelConfig, frames: int, sessions: int = 1) -> Library:
    """A library of sessions with random masks and heads, for any network without a canvas."""
    rng = np.random.default_rng(SEED)

    def drawn_from(shape: tuple[int, ...], spread: float) -> NDArray[np.float32]:
        return (spread * rng.standard_normal(shape)).astype(np.float32)

    shapes = config.tensor_shapes()
    # Training's initial values would give grey: these keep the signal's strength through the masked layers.
    spreads = {name: GAIN * weight_bound(name, shape) / math.sqrt(DENSITY) for name, shape in shapes.items()}
    library = Library(config, {name: drawn_from(shape, spreads[name]) for name, shape in shapes.items()})
    width, height = config.size
    for index in range(sessions):
        masks = {name: np.packbits(rng.random(shape) < DENSITY) for name, shape in shapes.items()}
        head = {name: drawn_from(shape, 1.0) for name, shape in config.head_shapes().items()}
        record = SessionRecord(
            video=VideoRecord("trial" if index == 0 else f"trial-{index}", frames, width, height, Fraction(25)),
            scalar=session_scalar(index),
            density=DENSITY,
            seed=SEED,
            epochs=0,
            psnr=None,
            ms_ssim=None,
            source_path="",
            source_sha256="",
            weights_sha256="",
        )
        values, earlier = SharedValues(masks, head), library.sessions
        drawn = replace(library, sessions=(*earlier, Session(record, values)))
        record = replace(record, weights_sha256=weights_digest(drawn.assemble(index)))
        library = replace(library, sessions=(*earlier, Session(record, values)))
    return library


def make_trial(folder: Path) -> tuple[Path, Path]:
    """Write the artifact and its golden file into `folder`; returns their paths."""
    artifact = folder / ARTIFACT.name
    made = export_session(trial_library(), 0, artifact, ExportOptions(), golden_frames=WHOLE_FRAMES)
    assert made.golden is not None
    return artifact, made.golden.replace(folder / GOLDEN.name)


def main() -> None:
    """Write them where pfnr-doctor finds them, or into the given folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ARTIFACT.parent
    for path in make_trial(folder):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
