"""ONNX Runtime on an NVIDIA GPU: TF32 off, deterministic kernels, frames bound to device memory."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.lifted_graph import lift
from pfnr_runtime.artifact.masked_weights import MaskedWeights
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.base import Backend, BackendKind, Stages
from pfnr_runtime.backends.device.frames import DeviceFrames
from pfnr_runtime.backends.onnxruntime_session import BoundSession, load_session, one_line
from pfnr_runtime.errors import BackendError

PROVIDER = "CUDAExecutionProvider"


class OnnxRuntimeCuda(Backend):
    """An artifact in an ONNX Runtime session whose first provider is CUDA.

    A BackendError if the provider does not start: ONNX Runtime would fall back to the CPU and only log it. tf32:
    let fp32 products round their inputs to 10 bits. A shared graph runs with its masks taken out, as on the CPU;
    its masked weights are copied to the device once per switch.
    """

    name = "onnxruntime-cuda"
    provider = PROVIDER
    title = "CUDA"
    device = "cuda"

    def __init__(self, artifact: ArtifactFile, *, tf32: bool = False) -> None:
        super().__init__(artifact)
        import onnxruntime as ort

        if self.device == "cuda" and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA and cuDNN as installed by pip
        session_options = ort.SessionOptions()
        session_options.use_deterministic_compute = True
        session_options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        session_options.log_severity_level = 3
        model = artifact.model
        weights: MaskedWeights | None = None
        if artifact.graph is not None:
            lifted = lift(artifact.graph)
            model, weights = lifted.model, MaskedWeights(lifted.weights)
        session = load_session(model, session_options, self.providers(tf32), artifact.path)
        running = session.get_providers()
        if running[:1] != [self.provider]:
            raise BackendError(
                f"ONNX Runtime {ort.__version__} could not start its {self.title} provider and would run on "
                f"{running[0]}; check that the driver, CUDA and cuDNN are those this onnxruntime-gpu was built for"
            )
        self._session: BoundSession | None = BoundSession(session, artifact, self.device)
        self._weights = weights
        if artifact.sidecar is not None:
            self._load(artifact.sidecar)
        # Missing libraries show up now, while `auto` can still choose another backend.
        self._session.run(artifact.contract.inputs_at(np.zeros(1, np.int64)))
        rounding = "TF32" if tf32 else "no TF32"
        self.description = f"ONNX Runtime {ort.__version__} on {self.title}, {rounding}, bound memory"

    def providers(self, tf32: bool) -> list[Any]:
        """The providers and their options, in order of preference."""
        return [(PROVIDER, cuda_options(tf32))]

    def _decode_impl(self, inputs: NDArray[Any]) -> NDArray[Any]:
        assert self._session is not None
        return self._session.run(inputs)

    def _stages_impl(self, inputs: NDArray[Any]) -> Stages:
        assert self._session is not None
        start = perf_counter()
        self._as_pictures(self._decode_impl(inputs), len(inputs))
        computed = self._session.computed_at
        return Stages(computed - start, perf_counter() - computed)

    def _lend_impl(self, inputs: NDArray[Any]) -> DeviceFrames:
        assert self._session is not None
        return self._session.run_on_device(inputs)

    def _switch_impl(self, sidecar: Sidecar) -> None:
        self._load(sidecar)

    def _load(self, sidecar: Sidecar) -> None:
        assert self._session is not None
        assert self._weights is not None
        self._weights.load(sidecar)
        self._session.load({**self._weights.arrays, **sidecar.tensors})

    def _close_impl(self) -> None:
        self._session, self._weights = None, None


def cuda_options(tf32: bool) -> dict[str, str]:
    """Options of the CUDA provider. An exhaustive kernel search may choose differently each time; the heuristic
    one is deterministic, so that the same file gives the same bytes.
    """
    return {"device_id": "0", "use_tf32": str(int(tf32)), "cudnn_conv_algo_search": "HEURISTIC"}


def provider_missing() -> str | None:
    """Why onnxruntime has no CUDA provider here, or None."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        return f"onnxruntime-gpu cannot be imported ({one_line(error)})"
    available = ort.get_available_providers()
    if PROVIDER in available:
        return None
    return f"the onnxruntime {ort.__version__} installed has no {PROVIDER} (pip uninstall onnxruntime first)"


def gpu_missing() -> str | None:
    """Why there is no GPU to run on, or None; cheap, needs no CUDA bindings."""
    from pfnr_runtime.backends.device.cuda import driver_missing

    return driver_missing()


BACKEND = BackendKind(
    name=OnnxRuntimeCuda.name,
    extra="pfnr[ort-gpu]",
    preference=30,
    probe=provider_missing,
    device=gpu_missing,
    open=OnnxRuntimeCuda,
    options=frozenset({"tf32"}),
    shared=True,
)
