"""ONNX Runtime with its TensorRT provider: only where it is asked for by name.

It builds engines by rules of its own, weakly typed, has no option for TF32 and keeps no engines here, so
that `auto` prefers the TensorRT backend, whose engines are strongly typed, checked and kept.
"""

from __future__ import annotations

from typing import Any

from pfnr_runtime.backends.base import BackendKind
from pfnr_runtime.backends.onnxruntime_cuda import PROVIDER as CUDA_PROVIDER
from pfnr_runtime.backends.onnxruntime_cuda import OnnxRuntimeGpu, cuda_options, gpu_missing, provider_missing
from pfnr_runtime.backends.trt.inspect_engine import graph_types
from pfnr_runtime.errors import BackendError

PROVIDER = "TensorrtExecutionProvider"


class OnnxRuntimeTensorRt(OnnxRuntimeGpu):
    """The TensorRT provider, with the CUDA one for what it leaves over. Builds its engine at every opening."""

    name = "onnxruntime-tensorrt"
    provider = PROVIDER
    title = "TensorRT and CUDA"

    def providers(self, tf32: bool) -> list[Any]:
        types = graph_types(self.artifact.summary)
        if half := types & {"float16", "bfloat16"}:
            raise BackendError(
                f"{self.artifact.path}: holds {', '.join(sorted(half))}, and this provider would then run its "
                "fp32 parts in half precision too; use --backend tensorrt or onnxruntime-cuda"
            )
        # The engine cache stays off: it would believe files by their names alone.
        options = {
            "device_id": "0",
            "trt_fp16_enable": "0",
            "trt_int8_enable": str(int("int8" in types)),
            "trt_engine_cache_enable": "0",
        }
        return [(PROVIDER, options), (CUDA_PROVIDER, cuda_options(tf32))]

    def about(self, tf32: bool) -> str:
        return "TF32 as TensorRT likes (NVIDIA_TF32_OVERRIDE=0 in the environment switches it off)"


BACKEND = BackendKind(
    name=OnnxRuntimeTensorRt.name,
    extra="pfnr[ort-gpu]",
    preference=40,
    probe=lambda: provider_missing(PROVIDER),
    device=gpu_missing,
    open=OnnxRuntimeTensorRt,
    shared=True,
    automatic=False,
)
