"""Measurements of one engine on one artifact."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from time import perf_counter
from typing import Any

import numpy as np

from pfnr_runtime.backends import backend_kinds, why_not_here
from pfnr_runtime.backends.trt.build import MAX_BATCH
from pfnr_runtime.bench import present
from pfnr_runtime.bench.cold import cold_starts
from pfnr_runtime.bench.energy import EnergyRecorder
from pfnr_runtime.bench.memory import gpu_used_bytes
from pfnr_runtime.bench.timing import Latencies, at_random, in_order, time_runs
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError, ParameterError, UsageError


@dataclass(frozen=True)
class Asked:
    """What to measure. seconds: per measurement, of at least three runs. batches: batch sizes. cold_starts: number
    of new processes, whose medians are reported.
    """

    path: str
    session: str | None
    threads: int | None
    seconds: float
    batches: tuple[int, ...]
    cold_starts: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise ParameterError("seconds", f"{self.seconds:g} is outside 0 to 3600")
        if not 1 <= self.cold_starts <= 100:
            raise ParameterError("cold_starts", f"{self.cold_starts} is outside 1 to 100")
        if not all(1 <= batch <= MAX_BATCH for batch in self.batches):
            raise ParameterError("batches", f"{','.join(map(str, self.batches))}: each is 1 to {MAX_BATCH}")

    def arguments(self, backend: str) -> dict[str, Any]:
        """Arguments of a VideoDecoder."""
        return {"path": self.path, "session": self.session, "backend": backend, "threads": self.threads}


def engines_to_run(backend: str) -> tuple[list[str], dict[str, str]]:
    """Names of the available engines, and why the others are unavailable; for one name, or 'all'."""
    kinds = {kind.name: kind for kind in backend_kinds()}
    if backend not in ("all", *kinds):
        raise UsageError(f"no backend is called {backend!r}; choose all, {', '.join(kinds)}")
    here, left_out = [], {}
    for kind in kinds.values() if backend == "all" else (kinds[backend],):
        if reason := why_not_here(kind):
            left_out[kind.name] = reason
        else:
            here.append(kind.name)
    return here, left_out


def measure(asked: Asked, backend: str) -> dict[str, Any]:
    """All figures of one engine; a BackendError where it cannot open the artifact."""
    gpu_before = gpu_used_bytes()
    start = perf_counter()
    with VideoDecoder(**asked.arguments(backend)) as decoder:
        opened = perf_counter()
        decoder.get_frame_at(0)
        first = perf_counter()
        frames = len(decoder)
        with EnergyRecorder() as energy:
            sequential = time_runs(decoder.get_frame_at, in_order(frames), asked.seconds)
        random = time_runs(decoder.get_frame_at, at_random(frames), asked.seconds)
        result: dict[str, Any] = {
            "description": decoder.backend.description,
            "open_s": opened - start,
            "first_frame_s": first - opened,
            "sequential": sequential.to_json(),
            "random": random.to_json(),
            "energy": energy.to_json(len(sequential.seconds)),
            "split": _split(decoder, asked.seconds),
            "present": present.measure(decoder, min(asked.seconds, 1.0)),
        }
        gpu_after = gpu_used_bytes()
    gpu = None if gpu_before is None or gpu_after is None else gpu_after - gpu_before
    result["gpu_memory_bytes"] = gpu
    result["batches"] = _batches(asked, backend)
    result["cold"] = cold_starts(asked.arguments(backend), asked.cold_starts)
    return result


def _split(decoder: VideoDecoder, seconds: float) -> dict[str, float]:
    """Medians of the two parts of a decode, in milliseconds."""
    found = []
    time_runs(lambda i: found.append(decoder.decode_in_stages(i)), in_order(len(decoder)), seconds)
    return {
        "compute_ms": 1000 * float(np.median([stages.compute for stages in found])),
        "copy_ms": 1000 * float(np.median([stages.copy for stages in found])),
    }


def _batches(asked: Asked, backend: str) -> dict[str, Any]:
    """Frames per second by batch size, in a decoder opened for the largest."""
    if not asked.batches:
        return {}
    found = {}
    try:
        with VideoDecoder(**asked.arguments(backend), max_batch=max(asked.batches)) as decoder:
            for size in asked.batches:
                found[str(size)] = _batch(decoder, size, asked.seconds)
    except BackendError as error:
        return {"missing": str(error)}
    return found


def _batch(decoder: VideoDecoder, size: int, seconds: float) -> dict[str, float]:
    numbers = cycle(range(len(decoder)))
    parts = ([next(numbers) for _ in range(size)] for _ in iter(int, 1))
    times: Latencies = time_runs(lambda _: decoder.get_frames_at(next(parts)), in_order(1), seconds, least=2)
    return {"fps": size * times.fps, "run_ms": times.to_json()["p50_ms"]}
