"""TensorRT and TensorRT-RTX as one backend: an engine built for this device, and the decode loop around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.base import Backend, BackendKind, Stages
from pfnr_runtime.backends.device.cuda import device_missing, open_device
from pfnr_runtime.backends.device.frames import DeviceFrames
from pfnr_runtime.backends.trt.api import Flavour, load_library, missing
from pfnr_runtime.backends.trt.build import BuildOptions
from pfnr_runtime.backends.trt.engine_run import EngineRun
from pfnr_runtime.backends.trt.obtain import obtain_engine
from pfnr_runtime.errors import BackendError
from pfnr_runtime.system.messages import say


class TensorRtBackend(Backend):
    """An artifact in an engine built on this device, or loaded from the cache.

    - max_batch: frames per run at most, 1 by default, so that every frame is computed alike whatever the batch.
    - tf32: let fp32 products round their inputs.
    - cuda_graph: record a step as a CUDA graph where the engine allows it.
    - report: receives a build's messages; `say` by default.

    A shared graph runs with its masks taken out, as in ONNX Runtime: masked weights are uploaded at a switch.
    """

    def __init__(
        self,
        flavour: Flavour,
        artifact: ArtifactFile,
        *,
        max_batch: int = 1,
        tf32: bool = False,
        cuda_graph: bool = True,
        report: Callable[[str], None] = say,
    ) -> None:
        super().__init__(artifact)
        self.name = flavour.name
        library, device = load_library(flavour), open_device()
        made = obtain_engine(library, device, artifact, BuildOptions(max_batch, tf32), report=report)
        self._run = EngineRun(
            library, device, made.engine, artifact, made.weights, max_batch=max_batch, cuda_graph=cuda_graph
        )
        self.preferred_batch = max_batch
        rounding = "TF32" if tf32 else "no TF32"
        self.brief = device.info.name
        self._about = f"{library} on {device.info}, {made.types}, {rounding}, batch {max_batch}"

    @property
    def description(self) -> str:  # type: ignore[override]
        """What runs; whether steps are CUDA graphs is known after the first frames."""
        return f"{self._about}, {self._run.loop.note}"

    def decode_batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
        """`decode` of each part; the device computes the next while the caller has one."""
        checked = (self._checked(part) for part in parts)
        for output in self._run.loop.decode_each(checked):
            yield self._as_pictures(output, len(output))

    def _decode_impl(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return self._run.loop.decode(inputs)

    def _stages_impl(self, inputs: NDArray[Any]) -> Stages:
        """Times a decode that stays on the device, then one with the copy: the difference is the copy."""
        start = perf_counter()
        with self._run.loop.lend(inputs):
            self._run.loop.wait()
        computed = perf_counter()
        self._as_pictures(self._decode_impl(inputs), len(inputs))
        whole = perf_counter() - computed
        return Stages(computed - start, max(0.0, whole - (computed - start)))

    def _lend_impl(self, inputs: NDArray[Any]) -> DeviceFrames:
        return self._run.loop.lend(inputs)

    def _switch_impl(self, sidecar: Sidecar) -> None:
        self._run.switch(sidecar)

    def _close_impl(self) -> None:
        self._run.close()


def backend_kind(flavour: Flavour, preference: int) -> BackendKind:
    """The record of one flavour."""

    def open_it(artifact: ArtifactFile, **options: Any) -> Backend:
        try:
            return TensorRtBackend(flavour, artifact, **options)
        except MemoryError:
            raise BackendError(f"{artifact.path}: out of memory; close other programs") from None

    return BackendKind(
        name=flavour.name,
        extra=flavour.extra,
        preference=preference,
        probe=lambda: missing(flavour),
        device=device_missing,
        open=open_it,
        options=frozenset({"max_batch", "tf32", "cuda_graph"}),
        shared=True,
    )
