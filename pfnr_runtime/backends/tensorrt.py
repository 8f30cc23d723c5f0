"""TensorRT, for Jetsons and servers: what `auto` takes first."""

from __future__ import annotations

from pfnr_runtime.tensorrt.api import TENSORRT
from pfnr_runtime.tensorrt.backend import backend_kind

BACKEND = backend_kind(TENSORRT, preference=10)
