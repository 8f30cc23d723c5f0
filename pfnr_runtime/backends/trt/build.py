"""Building an engine: parse the artifact, strongly typed, and let the library compile it for the device.

The graph sets the precision: no builder flag requests one, and TF32, which the libraries enable by default, is
cleared unless requested.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from pfnr_runtime.artifact.contract import EMBEDDING_NAME, INPUT_NAME
from pfnr_runtime.backends.trt.api import EngineLibrary
from pfnr_runtime.backends.trt.progress import BuildProgress
from pfnr_runtime.errors import BackendError, UsageError
from pfnr_runtime.video.record import MAX_FRAMES

MAX_BATCH = 64
# A shared graph's table has one row per frame, and the next session may have any number of frames.
TUNED_ROWS = 300
MAX_ELEMENTS = 2**31 - 1


@dataclass(frozen=True)
class BuildOptions:
    """A user's choices for an engine; all are part of the cache key.

    max_batch: 1 to 64 frames per run. tf32: let fp32 convolutions and products round their inputs to 10 bits.
    targets: compute capabilities by the library's names ('SM86'), to compile for GPUs absent from this machine;
    TensorRT-RTX only, empty for the GPU present. A UsageError for a batch outside the range.
    """

    max_batch: int = 1
    tf32: bool = False
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise UsageError(f"a batch of {self.max_batch} frames is outside 1 to {MAX_BATCH}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "targets": list(self.targets)}


@dataclass(frozen=True)
class BatchProfile:
    """One optimisation profile: it runs `least` to `most` frames and is tuned for `best`."""

    least: int
    best: int
    most: int


def batch_profiles(max_batch: int) -> tuple[BatchProfile, ...]:
    """The profiles of an engine: one for single frames, and one for up to `max_batch` if that is larger."""
    single = BatchProfile(1, 1, 1)
    return (single,) if max_batch == 1 else (single, BatchProfile(1, max_batch, max_batch))


def profile_for(profiles: tuple[BatchProfile, ...], batch: int) -> int:
    """Number of the first profile that runs `batch` frames; a ValueError if none does."""
    for number, candidate in enumerate(profiles):
        if candidate.least <= batch <= candidate.most:
            return number
    raise ValueError(f"no profile runs {batch} frames; the largest runs {max(p.most for p in profiles)}")


def most_rows(row: tuple[int, ...]) -> int:
    """The most rows of this shape that one tensor can hold in a table input."""
    return min(MAX_FRAMES, MAX_ELEMENTS // prod(row))


@dataclass(frozen=True)
class BuiltEngine:
    """A fresh engine: its bytes, build time, and the builder's measurements for the next build."""

    data: bytes
    seconds: float
    timing_cache: bytes


def build_engine(
    library: EngineLibrary,
    artifact: bytes,
    name: str,
    options: BuildOptions,
    *,
    timing_cache: bytes = b"",
    report: Callable[[str], None] | None = None,
) -> BuiltEngine:
    """Compile the ONNX file `artifact` (its bytes, already checked; `name` is for messages).

    timing_cache: from an earlier build on the same device, or empty. report: receives a line when the build
    starts; on a terminal a progress display follows. A BackendError with the library's reason if it refuses the
    graph or cannot build; Ctrl-C stops the build at its next step.
    """
    trt = library.trt
    library.log.clear()
    builder = _create(library, trt.Builder, name)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(artifact):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        reason = " ".join(errors[0].split())[:300] if errors else library.log.reason()
        raise BackendError(f"{name}: {library} cannot read it: {reason}")
    config = builder.create_builder_config()
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the inspector can show types
    _add_profiles(library, builder, network, config, options)
    _set_targets(library, config, options.targets)
    # The configuration only borrows both: they must live until the build ends.
    measurements = config.create_timing_cache(timing_cache) if library.flavour.timing_cache else None
    if measurements is not None and not config.set_timing_cache(measurements, False):
        measurements = config.create_timing_cache(b"")  # from another device or version: start afresh
        config.set_timing_cache(measurements, False)
    progress = BuildProgress(name)
    config.progress_monitor = monitor = progress.monitor(trt)
    start = time.perf_counter()
    if report is not None:
        report(f"{name}: building an engine with {library}; this can take minutes, but happens only once")
    with progress:
        memory = _interruptible(lambda: builder.build_serialized_network(network, config), progress)
    del monitor
    if memory is None:
        raise BackendError(f"{name}: {library} cannot build an engine: {library.log.reason()}")
    measured = bytes(measurements.serialize()) if measurements is not None else b""
    return BuiltEngine(bytes(memory), time.perf_counter() - start, measured)


def _create(library: EngineLibrary, kind: Any, name: str) -> Any:
    try:
        made = kind(library.logger)
    except Exception as error:  # the bindings raise different types in different versions
        text = " ".join(str(error).split())[:300]
        raise BackendError(f"{name}: {library} cannot start: {library.log.reason()} ({text})") from None
    return made


def _add_profiles(library: EngineLibrary, builder: Any, network: Any, config: Any, options: BuildOptions) -> None:
    for wanted in batch_profiles(options.max_batch):
        profile = builder.create_optimization_profile()
        for i in range(network.num_inputs):
            tensor = network.get_input(i)
            shape = tuple(tensor.shape)
            if tensor.name in (INPUT_NAME, EMBEDDING_NAME):
                batches = (wanted.least, wanted.best, wanted.most)
                profile.set_shape(tensor.name, *((count, *shape[1:]) for count in batches))
            elif shape[0] < 0:
                rows = most_rows(shape[1:])
                tuned = min(TUNED_ROWS, rows)
                profile.set_shape(tensor.name, *((count, *shape[1:]) for count in (1, tuned, rows)))
        if config.add_optimization_profile(profile) < 0:
            raise BackendError(f"{library} refuses a profile of {wanted}: {library.log.reason()}")


def _set_targets(library: EngineLibrary, config: Any, targets: tuple[str, ...]) -> None:
    if not targets:
        return
    trt = library.trt
    if not hasattr(trt, "ComputeCapability"):
        raise UsageError(f"{library} builds only for this machine's GPU; leave the targets out")
    known = trt.ComputeCapability
    names = [n for n in dir(known) if n.startswith("SM")]
    if unknown := [name for name in targets if name not in names]:
        raise UsageError(f"{library} knows no {', '.join(unknown)}; choose {', '.join(names)}")
    if hasattr(config, "num_compute_capabilities") and hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = len(targets)
        for index, name in enumerate(targets):
            config.set_compute_capability(getattr(known, name), index)


def _interruptible(work: Callable[[], Any], progress: BuildProgress) -> Any:
    """Run `work` in a thread, so that Ctrl-C reaches Python at once and stops the build.

    An exception raised in a callback would pass through the library's code, which does not support that.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=run, name="pfnr-engine-build")
    worker.start()
    interrupted = False
    while worker.is_alive():
        try:
            worker.join(0.1)
        except KeyboardInterrupt:
            interrupted = progress.stop = True
    if interrupted:
        raise KeyboardInterrupt
    if failure:
        raise BackendError(f"the engine library failed: {' '.join(str(failure[0]).split())[:300]}") from None
    return outcome[0]
