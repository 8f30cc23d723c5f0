"""Shared by the ONNX Runtime backends: session options, loading, and runs with bound memory."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import OUTPUT_NAME, frame_shape
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.backends.device.dlpack import CPU, CUDA
from pfnr_runtime.backends.device.frames import DeviceFrames
from pfnr_runtime.errors import BackendError

# Output shapes kept at a time: a video's batch size and its tail, with room for a seek.
KEPT_OUTPUTS = 4


def load_session(model: str | bytes, options: Any, providers: list[Any], path: Any) -> Any:
    """An InferenceSession; a BackendError in one line if ONNX Runtime refuses the model or the provider."""
    import onnxruntime as ort

    if hasattr(ort, "disable_telemetry_events"):
        ort.disable_telemetry_events()  # builds for Windows send some unless told not to
    try:
        return ort.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BackendError(
            f"{path}: ONNX Runtime {ort.__version__} cannot load it: {one_line(error)}{_advice(error)}"
        ) from None


class BoundSession:
    """Runs of a session whose inputs and outputs stay in device memory.

    device: 'cpu' or 'cuda', number 0. Inputs that rarely change are put there once (`load`); output memory is
    allocated once per batch size; a run copies the frame numbers in and the frames out. computed_at: when the last
    run's frames were ready, by `time.perf_counter`.
    """

    def __init__(self, session: Any, artifact: ArtifactFile, device: str) -> None:
        self._session, self._artifact, self._device = session, artifact, device
        self._values: dict[str, Any] = {}
        self._outputs: dict[int, Any] = {}
        self.computed_at = 0.0

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put the session's other inputs on the device, replacing the previous ones. BackendError."""
        import onnxruntime as ort

        try:
            self._values = {
                name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)
                for name, array in arrays.items()
            }
        except Exception as error:
            raise BackendError(f"{self._artifact.path}: {one_line(error)}{_advice(error)}") from None

    def run(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The artifact's output, [B, ...]. BackendError."""
        # On the CPU `numpy()` may share the output's memory, which the next run overwrites.
        return np.array(self._run(inputs).numpy())

    def run_on_device(self, inputs: NDArray[Any]) -> DeviceFrames:
        """The same, complete, in device memory that no later run touches. BackendError."""
        output = self._run(inputs)
        del self._outputs[len(inputs)]  # the next run of this size allocates another
        owner, kind = [output], {"cpu": CPU, "cuda": CUDA}[self._device]
        # `release` keeps the memory's owner alive until the frames are released.
        return DeviceFrames(
            output.data_ptr(),
            tuple(output.shape()),
            np.dtype(self._artifact.contract.output),
            (kind, 0),
            release=lambda: owner.clear(),
        )

    def _run(self, inputs: NDArray[Any]) -> Any:
        """Run; returns the complete output value."""
        try:
            binding = self._session.io_binding()
            binding.bind_cpu_input(self._artifact.contract.input.name, inputs)
            for name, value in self._values.items():
                binding.bind_ortvalue_input(name, value)
            output = self._output(len(inputs))
            binding.bind_ortvalue_output(OUTPUT_NAME, output)
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            self.computed_at = perf_counter()
            return output
        except Exception as error:
            raise BackendError(
                f"{self._artifact.path}: ONNX Runtime failed at {place(inputs)}: {one_line(error)}{_advice(error)}"
            ) from None

    def _output(self, batch: int) -> Any:
        import onnxruntime as ort

        if batch not in self._outputs:
            while len(self._outputs) >= KEPT_OUTPUTS:
                del self._outputs[next(iter(self._outputs))]
            contract = self._artifact.contract
            shape = frame_shape(contract.output, contract.video.height, contract.video.width)
            self._outputs[batch] = ort.OrtValue.ortvalue_from_shape_and_type(
                [batch, *shape], np.dtype(contract.output).type, self._device, 0
            )
        return self._outputs[batch]


def place(inputs: NDArray[Any]) -> str:
    """Which frames a run decoded, for error messages; an embedding does not tell."""
    return f"frame {inputs[0]}" if inputs.ndim == 1 else f"a batch of {len(inputs)}"


def one_line(error: Exception) -> str:
    """An engine's message without line breaks, at most 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if "out of memory" in text or "failed to allocate memory" in text:
        return "; out of memory: close other programs, or decode fewer frames at a time"
    if "driver version is insufficient" in text:
        return "; the NVIDIA driver is older than this onnxruntime-gpu needs: update the driver"
    return ""
