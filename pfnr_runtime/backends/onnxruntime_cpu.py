"""ONNX Runtime on the CPU: everything that could change a result or a timing is set explicitly."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import OUTPUT_NAME
from pfnr_runtime.artifact.lifted_graph import lift
from pfnr_runtime.artifact.masked_weights import MaskedWeights
from pfnr_runtime.artifact.onnx.shown import with_output
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.base import Backend, BackendKind
from pfnr_runtime.backends.onnxruntime_session import load_session, one_line, place
from pfnr_runtime.errors import BackendError, CancelledError, UsageError

# ONNX Runtime's levels of graph optimisation. Their results are not bit-equal.
OPTIMISATION_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
MAX_THREADS = 1024


class OnnxRuntimeCpu(Backend):
    """An artifact in an ONNX Runtime session on the CPU.

    threads: 1 to 1024 within one operator; by default all that this process may use. optimisation: a key of
    `OPTIMISATION_LEVELS`.

    A shared graph runs with its masks taken out (`pfnr_runtime.artifact.lifted_graph`): they are applied here,
    once per switch, and the masked weights are inputs that every run reads in place.
    """

    name = "onnxruntime-cpu"

    def __init__(self, artifact: ArtifactFile, *, threads: int | None = None, optimisation: str = "all") -> None:
        super().__init__(artifact)
        import onnxruntime as ort

        threads = available_cpus() if threads is None else threads
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"{threads} threads is outside 1 to {MAX_THREADS}")
        if optimisation not in OPTIMISATION_LEVELS:
            raise UsageError(f"optimisation {optimisation!r} is none of {', '.join(OPTIMISATION_LEVELS)}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMISATION_LEVELS[optimisation])
        options.use_deterministic_compute = True
        # A memory pattern would allocate everything once more, on top of what the first run left in the arena.
        options.enable_mem_pattern = False
        # Spinning threads take the processor from whatever shows or encodes the frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only: they surface as exceptions; warnings are of no use here
        model = artifact.model
        self._weights: MaskedWeights | None = None
        self._feeds: dict[str, NDArray[Any]] = {}
        if artifact.graph is not None and artifact.sidecar is not None:
            lifted = lift(artifact.graph)
            model, self._weights = lifted.model, MaskedWeights(lifted.weights)
            self._load(artifact.sidecar)
        self._options = options
        self._session: Any = load_session(model, options, ["CPUExecutionProvider"], artifact.path)
        self._run_options = ort.RunOptions
        self._running: Any = None
        self.brief = f"{threads} thread{'s' if threads > 1 else ''}"
        self.description = (
            f"ONNX Runtime {ort.__version__} on CPU, {self.brief}, optimisation level {optimisation}"
        )

    def _decode_impl(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return self._run(self._session, OUTPUT_NAME, inputs)

    def _value_impl(self, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
        model = with_output(self.artifact.read(), name)
        session = load_session(model, self._options, ["CPUExecutionProvider"], self.artifact.path)
        return self._run(session, name, inputs)

    def _run(self, session: Any, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
        feeds = {self.artifact.contract.input.name: inputs, **self._feeds}
        # Fresh options for every run: a late cancellation must not stop the next one.
        self._running = running = self._run_options()
        try:
            value: NDArray[Any] = session.run([name], feeds, running)[0]
            return value
        except Exception as error:
            if running.terminate:
                raise CancelledError(f"{place(inputs)} is not wanted any more") from None
            raise BackendError(
                f"{self.artifact.path}: ONNX Runtime failed at {place(inputs)}: {one_line(error)}"
            ) from None

    def _cancel_impl(self) -> None:
        running = self._running
        if running is not None:
            running.terminate = True  # checked between the operators of a graph

    def _switch_impl(self, sidecar: Sidecar) -> None:
        self._load(sidecar)

    def _load(self, sidecar: Sidecar) -> None:
        assert self._weights is not None
        self._weights.load(sidecar)
        self._feeds = {**self._weights.arrays, **sidecar.tensors}

    def _close_impl(self) -> None:
        self._session, self._weights, self._feeds, self._running = None, None, {}, None


def available_cpus() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def probe() -> str | None:
    """Why ONNX Runtime cannot be used here, or None."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        return f"onnxruntime cannot be imported ({one_line(error)})"
    return None


BACKEND = BackendKind(
    name=OnnxRuntimeCpu.name,
    extra="pfnr[ort]",
    preference=90,
    probe=probe,
    open=OnnxRuntimeCpu,
    options=frozenset({"threads", "optimisation"}),
    shared=True,
)
