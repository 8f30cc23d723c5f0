"""What is in an artifact, as plain values for JSON and as lines for people. No engine takes part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pfnr_runtime.artifact import ArtifactFile
from pfnr_runtime.onnxtensor import TensorInfo

LARGEST = 10


def report(artifact: ArtifactFile) -> dict[str, Any]:
    """Contract, inputs and outputs, operators, tensors by size, file size and digest, as JSON types."""
    summary, contract = artifact.summary, artifact.contract
    tensors = sorted(summary.initializers + summary.constants, key=lambda t: (-t.nbytes, t.name))
    return {
        "path": str(artifact.path),
        "bytes": artifact.size,
        "sha256": artifact.sha256,
        "contract": {
            "kind": contract.kind,
            "format_version": contract.format_version,
            "video": contract.video.to_json(),
            "session": contract.session,
            "output": contract.output,
            "precision": contract.precision,
            "lowering": contract.lowering,
            "passes": list(contract.passes),
            "weights_sha256": contract.weights_sha256,
            "quality": contract.quality,
            "producer": contract.producer,
        },
        "inputs": [_value(v.name, v.dtype, v.shape) for v in summary.inputs],
        "outputs": [_value(v.name, v.dtype, v.shape) for v in summary.outputs],
        "opset": summary.opsets.get("", 0),
        "ir_version": summary.ir_version,
        "nodes": len(summary.nodes),
        "operators": summary.operators,
        "weights_bytes": summary.weights_bytes,
        "tensors": [_tensor(t) for t in tensors],
    }


def lines(artifact: ArtifactFile) -> Iterator[tuple[str, str]]:
    """The same as labelled lines: (label, text)."""
    summary, contract = artifact.summary, artifact.contract
    video = contract.video
    yield "file", f"{artifact.path}, {size(artifact.size)}"
    yield "sha256", artifact.sha256
    yield (
        "video",
        (
            f"{video.name}: {video.frames} frames, {video.width}×{video.height}, {float(video.fps):g} fps, "
            f"{float(video.duration):.2f} s"
        ),
    )
    yield "source", f"{video.source or 'unknown'} from frame {video.source_start}"
    yield (
        "colour",
        (
            f"{video.colour.matrix}, {video.colour.range} range, sample aspect "
            f"{video.sample_aspect.numerator}:{video.sample_aspect.denominator}"
        ),
    )
    yield "session", f"{contract.session} of its library, weights {contract.weights_sha256[:16]}…"
    if contract.quality:
        yield "quality", ", ".join(f"{name} {value:.4g}" for name, value in contract.quality.items())
    yield (
        "exported",
        (
            f"{contract.precision}, Fourier block by {contract.lowering}, "
            f"passes: {', '.join(contract.passes) or 'none'}"
        ),
    )
    yield "producer", contract.producer or summary.producer or "unknown"
    yield "input", ", ".join(map(str, summary.inputs))
    yield "output", ", ".join(map(str, summary.outputs))
    yield "graph", f"{len(summary.nodes)} nodes, opset {summary.opsets.get('', 0)}"
    yield "operators", ", ".join(f"{count} {name}" for name, count in summary.operators.items())
    tensors = sorted(summary.initializers + summary.constants, key=lambda t: (-t.nbytes, t.name))
    yield "weights", f"{size(summary.weights_bytes)} in {len(tensors)} tensors"
    for tensor in tensors[:LARGEST]:
        yield "", f"{size(tensor.nbytes):>10}  {tensor.dtype} {list(tensor.dims)} {tensor.name}"
    if len(tensors) > LARGEST:
        rest = sum(t.nbytes for t in tensors[LARGEST:])
        yield "", f"{size(rest):>10}  in {len(tensors) - LARGEST} smaller ones"


def size(count: int) -> str:
    """Bytes for people: 12.3 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _value(name: str, dtype: str, shape: tuple[int | str | None, ...]) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def _tensor(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.dims),
        "bytes": tensor.nbytes,
    }
