"""From an artifact to a trusted engine: from the cache, or built, checked and cached."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.artifact.lifted_graph import SharedWeight, lift
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.backends.device.cuda import Device, DeviceInfo, device_missing, open_device
from pfnr_runtime.backends.trt.api import FLAVOURS, EngineLibrary, load_library, missing
from pfnr_runtime.backends.trt.build import BuildOptions, build_engine
from pfnr_runtime.backends.trt.engine_cache import EngineCache
from pfnr_runtime.backends.trt.engine_run import EngineRun
from pfnr_runtime.backends.trt.inspect_engine import EngineTypes, check_types, inspect_engine
from pfnr_runtime.backends.trt.prove import golden_beside, prove
from pfnr_runtime.errors import BackendError, UsageError


@dataclass(frozen=True)
class ObtainedEngine:
    """A deserialised engine.

    - types: number types, as its inspector shows them.
    - path, size: of the cached file, in bytes.
    - seconds: build time.
    - fresh: whether it was just built.
    - golden: what a golden file proved when it was built, empty without one.
    - weights: of a shared graph, for masking; empty for a single video.
    """

    engine: Any
    types: EngineTypes
    path: Path
    size: int
    seconds: float
    fresh: bool
    golden: str
    weights: tuple[SharedWeight, ...]


def choose_flavour(name: str) -> tuple[EngineLibrary, Device]:
    """The engine library called `name`, or the first that works for 'auto', and the device it builds for.

    A UsageError for an unknown name; a BackendError says why each does not work, and what to install.
    """
    flavours = [flavour for flavour in FLAVOURS if name in ("auto", flavour.name)]
    if not flavours:
        raise UsageError(f"no engine is called {name!r}; choose auto, {', '.join(f.name for f in FLAVOURS)}")
    reasons = []
    for flavour in flavours:
        if reason := missing(flavour):
            reason += f"; install it with: pip install '{flavour.extra}'"
        elif not (reason := device_missing()):
            try:
                return load_library(flavour), open_device()
            except BackendError as error:
                reason = str(error)
        reasons.append(f"{flavour.name}: {reason}")
    raise BackendError(f"no engine can be built here ({'; '.join(reasons)})")


def engine_key(
    library: EngineLibrary, info: DeviceInfo, artifact_sha256: str, options: BuildOptions
) -> dict[str, Any]:
    """Everything an engine depends on, as plain JSON types."""
    return {"artifact": artifact_sha256, "options": options.to_json(), **device_key(library, info)}


def device_key(library: EngineLibrary, info: DeviceInfo) -> dict[str, Any]:
    """The part of the key that all engines of one library on one device share."""
    return {
        "library": library.flavour.name,
        "version": library.version,
        "device": info.name,
        "compute_capability": info.capability,
        "cuda_driver": info.driver,
        "cuda_runtime": info.runtime,
    }


def obtain_engine(
    library: EngineLibrary,
    device: Device,
    artifact: ArtifactFile,
    options: BuildOptions,
    *,
    cache: EngineCache | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> ObtainedEngine:
    """The artifact's engine for this device. report: receives messages for the user.

    A fresh engine is refused, and not cached, if its number types differ from the graph's, or its frames from
    those of a golden file next to the artifact. A cached one that the library no longer loads is rebuilt.
    BackendError, ArtifactError; VerificationError for another video's golden file.
    """
    cache = cache or EngineCache()
    model, weights = _model(artifact)
    key = engine_key(library, device.info, artifact.sha256, options)

    def build() -> tuple[bytes, dict[str, Any]]:
        data = artifact.read() if model is None else model
        return _build(library, device, artifact, data, weights, options, cache, report)

    def waiting(path: Path) -> None:
        report(f"{artifact.path}: another process is building this engine; waiting for it")

    entry = cache.get(key, build, waiting=waiting)
    engine = deserialise(library, entry.data)
    if engine is None and not entry.fresh:
        report(f"{artifact.path}: {library} no longer loads the cached engine; building it again")
        cache.drop(key)
        entry = cache.get(key, build, waiting=waiting)
        engine = deserialise(library, entry.data)
    if engine is None:
        cache.drop(key)
        raise BackendError(f"{artifact.path}: {library} cannot load the engine: {library.log.reason()}")
    types = inspect_engine(library, engine)
    check_types(types, artifact.summary, tf32=options.tf32, name=str(artifact.path))
    seconds, golden = entry.notes.get("seconds"), str(entry.notes.get("golden", ""))
    seconds = seconds if isinstance(seconds, float) else math.nan
    return ObtainedEngine(engine, types, entry.path, len(entry.data), seconds, entry.fresh, golden, weights)


def deserialise(library: EngineLibrary, data: bytes) -> Any:
    """The engine in `data`, from the cache or the builder only; None if the library refuses it."""
    library.log.clear()
    runtime = library.trt.Runtime(library.logger)
    return runtime.deserialize_cuda_engine(data)


def _model(artifact: ArtifactFile) -> tuple[bytes | None, tuple[SharedWeight, ...]]:
    """The model to build from: a shared graph with its masks taken out; None to use a single video's file as it
    is.
    """
    if artifact.graph is None or artifact.sidecar is None:
        return None, ()
    lifted = lift(artifact.graph)
    return lifted.model, lifted.weights


def _build(
    library: EngineLibrary,
    device: Device,
    artifact: ArtifactFile,
    model: bytes,
    weights: tuple[SharedWeight, ...],
    options: BuildOptions,
    cache: EngineCache,
    report: Callable[[str], None],
) -> tuple[bytes, dict[str, Any]]:
    golden = golden_beside(artifact)
    measured_on = device_key(library, device.info)
    known = cache.read("timing", measured_on)
    built = build_engine(
        library, model, str(artifact.path), options, timing_cache=known.data if known else b"", report=report
    )
    # Checked before caching: an engine with the wrong types never gets into the cache.
    engine = deserialise(library, built.data)
    if engine is None:
        raise BackendError(f"{artifact.path}: {library} cannot load what it built: {library.log.reason()}")
    types = inspect_engine(library, engine)
    check_types(types, artifact.summary, tf32=options.tf32, name=str(artifact.path))
    notes = {"seconds": built.seconds, "types": str(types)}
    told = f"{artifact.path}: built in {built.seconds:.1f} s, {len(built.data) / 1e6:.1f} MB, {types}"
    if golden is not None:
        run = EngineRun(library, device, engine, artifact, weights, max_batch=options.max_batch)
        try:
            notes["golden"] = prove(run.loop, artifact, golden)
        finally:
            run.close()
        told += f", {notes['golden']}"
    if built.timing_cache:
        cache.write("timing", measured_on, built.timing_cache, {})
    report(told)
    return built.data, notes
