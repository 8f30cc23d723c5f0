"""An engine ready to decode: its step, the decode loop around it, and a shared graph's session on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from pfnr_runtime.artifact.contract import frame_shape
from pfnr_runtime.artifact.lifted_graph import SharedWeight
from pfnr_runtime.artifact.masked_weights import MaskedWeights
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.device.cuda import Device
from pfnr_runtime.backends.trt.api import EngineLibrary
from pfnr_runtime.backends.trt.build import batch_profiles
from pfnr_runtime.backends.trt.decode_loop import DecodeLoop
from pfnr_runtime.backends.trt.engine_step import EngineStep
from pfnr_runtime.errors import BackendError


class EngineRun:
    """One deserialised engine, ready to run; `close` frees everything.

    loop: decodes. weights: of a shared graph, empty for a single video. Every profile runs once on opening: this
    sets the engine up and shows what is missing, with a BackendError and nothing left allocated.
    """

    def __init__(
        self,
        library: EngineLibrary,
        device: Device,
        engine: Any,
        artifact: ArtifactFile,
        weights: tuple[SharedWeight, ...],
        *,
        max_batch: int,
        cuda_graph: bool = True,
    ) -> None:
        contract = artifact.contract
        self._step = EngineStep(library, device, engine, batch_profiles(max_batch), contract.input)
        self._weights = MaskedWeights(weights)
        self.loop = DecodeLoop(
            device,
            self._step,
            shape=frame_shape(contract.output, contract.video.height, contract.video.width),
            dtype=contract.output,
            source=contract.input,
            max_batch=max_batch,
            graphs=cuda_graph,
        )
        try:
            if artifact.sidecar is not None:
                self._load(artifact.sidecar)
            for batch in {1, max_batch}:
                self.loop.decode(contract.inputs_at(np.zeros(batch, np.int64)))
        except BaseException:
            self.close()
            raise

    def switch(self, sidecar: Sidecar) -> None:
        """Put another session's weights on the device. If that fails, the engine refuses to decode."""
        try:
            self.loop.forget_graphs()
            self._load(sidecar)
        except BaseException as error:
            self.loop.poison(f"switching to another session failed: {error}")
            raise

    def close(self) -> None:
        """Free the device's memory. Never raises."""
        self.loop.close()
        self._step.close()

    def _load(self, sidecar: Sidecar) -> None:
        self._weights.load(sidecar)
        try:
            self._step.load_session({**self._weights.arrays, **sidecar.tensors}, self.loop.stream)
        except BackendError as error:
            raise BackendError(f"{sidecar.path}: {error}") from None
