"""A loaded engine for the decode loop: its profiles' contexts, and a shared graph's session inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import FRAME_INDEX, OUTPUT_NAME, ArtifactInput
from pfnr_runtime.backends.device.cuda import Device
from pfnr_runtime.backends.trt.api import EngineLibrary
from pfnr_runtime.backends.trt.build import BatchProfile, profile_for
from pfnr_runtime.errors import BackendError


class EngineStep:
    """Runs of one deserialised engine.

    profiles: those it was built with. source: the input that selects frames. Each profile has one execution
    context, created at first use; contexts hold the activations' memory. A BackendError if the library cannot
    create one.
    """

    def __init__(
        self,
        library: EngineLibrary,
        device: Device,
        engine: Any,
        profiles: tuple[BatchProfile, ...],
        source: ArtifactInput = FRAME_INDEX,
    ) -> None:
        self._library, self._device, self._engine, self._profiles = library, device, engine, profiles
        self._source = source
        self._contexts: dict[int, Any] = {}
        self._shapes: dict[int, dict[str, tuple[int, ...]]] = {}  # of each context, as last set
        self._session: dict[str, tuple[int, int, tuple[int, ...]]] = {}  # address, bytes there, shape
        self._check_tensors()

    def profile(self, batch: int) -> int:
        """Number of the profile that runs `batch` frames."""
        return profile_for(self._profiles, batch)

    def enqueue(self, batch: int, inputs: int, frames: int, stream: Any) -> None:
        """Put one run on the stream. A BackendError with the library's reason if it refuses."""
        context = self._context(self.profile(batch), stream)
        self._library.log.clear()
        source = self._source
        shapes: dict[str, tuple[int, ...]] = {source.name: (batch, *source.row)}
        shapes |= {name: shape for name, (_, _, shape) in self._session.items()}
        addresses = {
            source.name: inputs,
            OUTPUT_NAME: frames,
            **{name: address for name, (address, _, _) in self._session.items()},
        }
        known = self._shapes[self.profile(batch)]
        # Setting a shape costs time and is not allowed while recording: only where it changes.
        changed = {name: shape for name, shape in shapes.items() if known.get(name) != shape}
        known.clear()
        accepted = all(context.set_input_shape(name, shape) for name, shape in changed.items())
        if accepted:
            known.update(shapes)
        accepted = accepted and all(context.set_tensor_address(name, at) for name, at in addresses.items())
        if not accepted or not context.execute_async_v3(self._device.stream_number(stream)):
            raise BackendError(f"{self._library} cannot run the engine: {self._library.log.reason()}")

    def capture_obstacle(self, batch: int, stream: Any) -> str | None:
        """Why a run cannot be recorded as a CUDA graph, where the library tells; else None."""
        context = self._context(self.profile(batch), stream)
        if hasattr(context, "is_stream_capturable") and not context.is_stream_capturable(
            self._device.stream_number(stream)
        ):
            return f"{self._library} does not allow a recording of this engine"
        return None

    def load_session(self, arrays: Mapping[str, NDArray[Any]], stream: Any) -> None:
        """Copy a session's inputs (all but the frame numbers) to the device; no run may be under way.

        A BackendError leaves them in an unknown state.
        """
        for name, array in arrays.items():
            data = np.ascontiguousarray(array)
            address, size, _ = self._session.get(name, (0, 0, ()))
            if size < data.nbytes:
                if address:
                    self._session.pop(name)
                    self._device.free(address)
                address, size = self._device.allocate(data.nbytes), data.nbytes
            self._session[name] = address, size, data.shape
            self._device.copy_in(address, data.ctypes.data, data.nbytes, stream)
            self._device.synchronise_stream(stream)  # `data` may be a copy that is freed after this

    def close(self) -> None:
        """Drop the contexts and the engine, then the memory they used. Never raises."""
        self._contexts.clear()
        self._engine = None
        while self._session:
            _, (address, _, _) = self._session.popitem()
            with contextlib.suppress(BackendError):
                self._device.free(address)

    def _context(self, number: int, stream: Any) -> Any:
        if number not in self._contexts:
            self._library.log.clear()
            context = self._engine.create_execution_context()
            if context is None:
                raise BackendError(f"{self._library} cannot set the engine up: {self._library.log.reason()}")
            if not context.set_optimization_profile_async(number, self._device.stream_number(stream)):
                raise BackendError(f"{self._library} refuses profile {number}: {self._library.log.reason()}")
            self._device.synchronise_stream(stream)
            self._contexts[number], self._shapes[number] = context, {}
        return self._contexts[number]

    def _check_tensors(self) -> None:
        """A BackendError unless the engine takes frame numbers and gives frames, and is on the device."""
        engine, trt = self._engine, self._library.trt
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
        if self._source.name not in names or outputs != [OUTPUT_NAME]:
            raise BackendError(f"the engine's tensors are {', '.join(names)}, not the artifact's")
        if engine.num_optimization_profiles != len(self._profiles):
            found, built = engine.num_optimization_profiles, len(self._profiles)
            raise BackendError(f"the engine has {found} profiles where {built} were built")
