"""Small networks, sessions, libraries and clips, made in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.synthetic import moving_pattern
from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.clips import Clip, ClipInfo, fit_to, frames_digest
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import FourierConfig, ModelConfig
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_head, new_library
from pfnr_train.session.masks import kept_count
from pfnr_train.session.recipe import Recipe

torch.set_num_threads(1)

COMBINES = ("none", "replace", "add", "concat")


def fourier_config(
    combine: str, block: int = 1, placement: str = "centered", channels: int = 2
) -> FourierConfig | None:
    """The Fourier block of these settings, None for "none"."""
    if combine == "none":
        return None
    return FourierConfig(block, combine, placement, channels if combine == "concat" else 0)


def small_config(combine: str = "replace", **more: Any) -> ModelConfig:
    """A network for 20×12 frames with blocks 0 and 1; `more` overrides any of it."""
    defaults: dict[str, Any] = {
        "grid": (3, 5),
        "strides": (2, 2),
        "channels": 6,
        "lower_width": 4,
        "stem_width": 12,
        "fourier": fourier_config(combine),
    }
    return ModelConfig(**defaults | more)


def made_record(config: ModelConfig, index: int, frames: int = 4, **more: Any) -> SessionRecord:
    """A valid record of a session that nobody trained."""
    width, height = config.size
    defaults: dict[str, Any] = {
        "video": VideoRecord(f"video-{index}", frames, width, height, Fraction(25), source=f"{index}.mkv"),
        "scalar": session_scalar(index),
        "density": 0.5,
        "seed": index,
        "epochs": 1,
        "psnr": 20.0 + index,
        "ms_ssim": None,
        "source_path": f"clips/{index}.mkv",
        "source_sha256": "0" * 64,
        "weights_sha256": "",
    }
    return SessionRecord(**defaults | more)


def made_library(config: ModelConfig, sessions: int = 2, frames: int = 4, seed: int = 0) -> Library:
    """A library of untrained sessions: random masks and heads, true digests."""
    rng = np.random.default_rng(seed)
    library = new_library(config, seed)
    for k in range(sessions):
        record = made_record(config, k, frames)
        masks = {}
        for name, shape in config.tensor_shapes().items():
            size = int(np.prod(shape))
            kept = rng.permutation(size) < kept_count(size, record.density)
            masks[name] = np.packbits(kept)
        head = {n: h.numpy() for n, h in new_head(config, torch.Generator().manual_seed(seed + k)).items()}
        library = replace(library, sessions=(*library.sessions, Session(record, SharedValues(masks, head))))
        digest = weights_digest(library.assemble(k))
        whole = replace(library.sessions[k], record=replace(record, weights_sha256=digest))
        library = replace(library, sessions=(*library.sessions[:-1], whole))
    return library


def made_clip(config: ModelConfig, seed: int = 0, frames: int = 5) -> Clip:
    """A clip of the network's size in memory."""
    width, height = config.size
    pictures = moving_pattern(frames, width, height, seed)
    info = ClipInfo(Path(f"clip{seed}.mkv"), "video", width, height, frames, Fraction(25))
    return Clip(pictures, info, fit_to((width, height), None), 0, frames_digest(pictures))


def trained(library: Library, recipes: Sequence[Recipe], frames: int = 5) -> list[Library]:
    """The library after each of these recipes, each with its own clip; real training steps."""
    after = []
    for recipe in recipes:
        k = len(library.sessions)
        clip = made_clip(library.config, k, frames)
        library, _ = add_session(library, clip, f"video-{k}", f"{k}.mkv", recipe, lambda training, result: None)
        after.append(library)
    return after
