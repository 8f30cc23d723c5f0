"""A whole benchmark: every engine and H.264 on the same frames, as plain values for JSON and as a table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pfnr_runtime import __version__
from pfnr_runtime.artifact.open import ArtifactFile, open_artifact
from pfnr_runtime.backends.onnxruntime_cpu import available_cpus
from pfnr_runtime.bench import compare
from pfnr_runtime.bench.engines import Asked, engines_to_run, measure
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.doctor.machine import system
from pfnr_runtime.errors import BackendError
from pfnr_runtime.system.progress import SILENT, Progress

# Decoding the frames for H.264 may take this many times as long as one measurement; beyond that, fewer are used.
ENCODING = 5

Row = tuple[str, Callable[[dict[str, Any]], str]]


def run(asked: Asked, backend: str, progress: Progress = SILENT) -> dict[str, Any]:
    """Measure everything, as plain JSON types. A BackendError where no engine opens the artifact.

    backend: a name, or 'all' for every installed engine. progress: a stage for each.
    """
    artifact = open_artifact(asked.path, asked.session)
    names, left_out = engines_to_run(backend)
    engines: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in names:
        progress.stage(f"measuring {name}")
        try:
            engines[name] = measure(asked, name)
        except BackendError as error:
            failed[name] = str(error)
    if not engines:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in (left_out | failed).items())
        raise BackendError(f"{asked.path}: no engine can decode it ({reasons})")
    threads = available_cpus() if asked.threads is None else asked.threads
    progress.stage("measuring H.264")
    with tempfile.TemporaryDirectory(prefix="pfnr-bench-") as folder:
        with VideoDecoder(**asked.arguments(next(iter(engines)))) as decoder:
            encoded = compare.encode(decoder, Path(folder) / "same.mp4", ENCODING * asked.seconds)
        h264 = compare.measure(encoded, threads, asked.seconds, asked.cold_starts)
    return {
        "pfnr": __version__,
        "artifact": _about(artifact),
        "system": system(),
        "threads": threads,
        "seconds": asked.seconds,
        "engines": engines,
        "failed": failed,
        "left_out": left_out,
        "h264": h264,
    }


def _about(artifact: ArtifactFile) -> dict[str, Any]:
    contract = artifact.contract
    size = artifact.size + (artifact.sidecar.path.stat().st_size if artifact.sidecar is not None else 0)
    return {
        "path": str(artifact.path),
        "video": contract.video.to_json(),
        "precision": contract.precision,
        "bytes": size,
        "bytes_per_frame": size / contract.video.frames,
        "shared": artifact.sidecar is not None,
    }


def title(result: dict[str, Any]) -> str:
    """One line: what was measured."""
    about, video = result["artifact"], result["artifact"]["video"]
    return (
        f"{about['path']}: {video['name']}, {video['frames']} frames of {video['width']}×{video['height']}, "
        f"{about['precision']}; {result['threads']} threads on {result['system']['processor']}"
    )


def columns(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The contenders by name: engines, then H.264 in software and in hardware."""
    h264 = result["h264"]
    about, shared = result["artifact"], " (shared graph and sidecar)" if result["artifact"]["shared"] else ""
    sizes = {"size": f"{about['bytes_per_frame'] / 1e3:.1f} kB{shared}"}
    found = {name: figures | sizes for name, figures in result["engines"].items()}
    sizes = {"size": f"{h264['bytes_per_frame'] / 1e3:.1f} kB"}
    found["H.264, software"] = h264["software"] | sizes
    return found | {f"H.264, {name}": figures | sizes for name, figures in h264["hardware"].items()}


def rows() -> tuple[Row, ...]:
    """The label of each figure, and its text for one contender."""
    return (
        ("file, per frame", lambda c: c["size"]),
        ("new process to first frame", lambda c: _seconds(c, "first_frame_s")),
        ("  of which importing", lambda c: _seconds(c, "import_s")),
        ("  opening", lambda c: _seconds(c, "open_s")),
        ("  the frame", lambda c: _seconds(c, "decode_s")),
        ("peak memory", lambda c: _megabytes(c.get("cold", {}).get("peak_bytes"))),
        ("GPU memory", lambda c: _megabytes(c.get("gpu_memory_bytes"))),
        ("in order", lambda c: _latencies(c["sequential"])),
        ("at random", lambda c: _latencies(c["random"])),
        ("decode + copy", _split),
        ("present", _present),
        ("batches", _batches),
        ("energy, per frame", _energy),
    )


def notes(result: dict[str, Any], verbose: bool) -> Iterator[str]:
    """Notes: how H.264 was encoded, and which engines are not in the table."""
    h264 = result["h264"]
    some = "" if h264["frames"] == result["artifact"]["video"]["frames"] else f"the first {h264['frames']} of "
    yield (
        f"H.264: {some}the artifact's own frames as {h264['encoder']}, {h264['bytes']:,} bytes, PSNR to the "
        f"artifact's {h264['psnr_to_artifact']:.1f} dB, decoded to RGB by PyAV"
    )
    if not h264["hardware"]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in h264["hardware_missing"].items())
        yield f"H.264 in hardware: {f'none ({reasons})' if verbose else 'none on this machine'}"
    yield from (f"  not {name}: {reason}" for name, reason in result["failed"].items())
    if result["left_out"]:
        if verbose:
            yield from (f"  not {name}: {reason}" for name, reason in result["left_out"].items())
        else:
            yield "run pfnr-doctor to see why other engines are unavailable"


def _seconds(contender: dict[str, Any], name: str) -> str:
    found = contender.get("cold", {}).get(name)
    return "" if found is None else f"{found:.2f} s" if found >= 0.1 else f"{1000 * found:.1f} ms"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.0f} MB"


def _latencies(times: dict[str, float]) -> str:
    return (
        f"{times['fps']:.1f} fps; {times['p50_ms']:.1f}, {times['p90_ms']:.1f}, {times['p99_ms']:.1f} ms "
        f"(50, 90, 99 %)"
    )


def _split(contender: dict[str, Any]) -> str:
    split = contender.get("split")
    return f"{split['compute_ms']:.2f} + {split['copy_ms']:.2f} ms" if split else ""


def _present(contender: dict[str, Any]) -> str:
    found = contender.get("present")
    if not found:
        return ""
    return "no pygame-ce" if "missing" in found else f"{found['p50_ms']:.2f} ms ({found['on']})"


def _batches(contender: dict[str, Any]) -> str:
    found = contender.get("batches", {})
    if "missing" in found:
        return str(found["missing"])
    return ", ".join(f"{size}: {figures['fps']:.1f} fps" for size, figures in found.items())


def _energy(contender: dict[str, Any]) -> str:
    found = contender.get("energy", {})
    if "missing" in found:
        return str(found["missing"])
    return ", ".join(f"{rail} {figures['joules_per_frame']:.3g} J" for rail, figures in found.items())
