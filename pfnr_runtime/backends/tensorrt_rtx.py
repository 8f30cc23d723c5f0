"""TensorRT-RTX, for GeForce and RTX cards: the choice of `auto` where TensorRT is unavailable."""

from __future__ import annotations

from pfnr_runtime.backends.trt.api import TENSORRT_RTX
from pfnr_runtime.backends.trt.backend import backend_kind

BACKEND = backend_kind(TENSORRT_RTX, preference=20)
