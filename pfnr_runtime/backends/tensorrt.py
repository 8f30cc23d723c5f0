"""TensorRT, for Jetsons and servers: the first choice of `auto`."""

from __future__ import annotations

from pfnr_runtime.backends.trt.api import TENSORRT
from pfnr_runtime.backends.trt.backend import backend_kind

BACKEND = backend_kind(TENSORRT, preference=10)
