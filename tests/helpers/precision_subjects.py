"""Small decoders to convert: random networks with smooth frames, and a stand-in for their source."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray

from helpers.libraries import fourier_config, made_library
from pfnr_export.export_session import ExportOptions, build_model
from pfnr_export.precisions import Subject
from pfnr_export.precisions.engine import Engine
from pfnr_train.library.library import Library
from pfnr_train.model.config import ModelConfig

FRAMES = 6


def config(**changes: object) -> ModelConfig:
    """Two blocks with a shuffle each, the Fourier block parallel to the second's convolution."""
    given: dict[str, object] = {
        "grid": (5, 8),
        "strides": (2, 2),
        "channels": 8,
        "lower_width": 6,
        "stem_width": 16,
        "fourier": fourier_config("add", 1, "centered", 1),
    }
    return ModelConfig(**(given | changes))  # type: ignore[arg-type]


@cache
def library(**changes: object) -> Library:
    """A library of one session of that network."""
    return made_library(config(**changes), 1, FRAMES, 3)


@cache
def fp32_model(**changes: object) -> onnx.ModelProto:
    """Its emitted model."""
    model, _ = build_model(library(**changes), 0, ExportOptions(fourier="matmul"))
    return model


def frames_of(model: onnx.ModelProto) -> NDArray[np.uint8]:
    """All frames, uint8 [N, H, W, 3]."""
    return np.stack(list(Engine(model, 1).pictures(range(FRAMES))))


@cache
def noisy_source(**changes: object) -> NDArray[np.uint8]:
    """What the frames might have been trained on: themselves with noise, at about 28 dB."""
    clean = frames_of(fp32_model(**changes)).astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 10, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def subject(budget: float = 0.1, **changes: object) -> Subject:
    """The model to convert, with its source."""
    return Subject(fp32_model(**changes), FRAMES, "uint8", budget, noisy_source(**changes))


def without_source(given: Subject, recorded: float | None = 28.0) -> Subject:
    """The same where the clip is gone."""
    return replace(given, source=None, recorded_psnr=recorded)
