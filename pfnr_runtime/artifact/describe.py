"""The contents of an artifact, as plain values for JSON and as lines to print; needs no engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.artifact.contract import ArtifactContract, SharedContract
from pfnr_runtime.artifact.onnx.tensor import TensorInfo
from pfnr_runtime.artifact.open import ArtifactFile, SharedFile
from pfnr_runtime.artifact.packed.file import Unpacked, parts
from pfnr_runtime.artifact.sidecar import list_sidecars
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.video.record import VideoRecord

LISTED_TENSORS = 10


@dataclass(frozen=True)
class SessionEntry:
    """A sidecar next to a shared graph. contract: of its session, if it fits. problem: otherwise, why not."""

    session: int
    path: Path
    contract: ArtifactContract | None
    problem: str


def entries(graph: SharedFile) -> list[SessionEntry]:
    """Every sidecar next to a graph, read and checked against it."""
    found = []
    for index, path in list_sidecars(graph.path).items():
        try:
            found.append(SessionEntry(index, path, graph.open_session(index).contract, ""))
        except ArtifactError as error:
            found.append(SessionEntry(index, path, None, str(error)))
    return found


def report(artifact: ArtifactFile | SharedFile) -> dict[str, Any]:
    """Contract, inputs and outputs, operators, tensors by size, file size and digest, as JSON types.

    For a shared graph also `sessions`: each sidecar next to it, with its contract or what is wrong with it.
    """
    summary, contract = artifact.summary, artifact.contract
    sessions = {}
    if isinstance(artifact, SharedFile):
        sessions["sessions"] = [
            {
                "session": entry.session,
                "path": str(entry.path),
                "bytes": entry.path.stat().st_size,
                "contract": None if entry.contract is None else entry.contract.to_json(),
                "problem": entry.problem or None,
            }
            for entry in entries(artifact)
        ]
    tensors = sorted(summary.initializers + summary.constants, key=lambda t: (-t.nbytes, t.name))
    return {
        "path": str(artifact.path),
        "bytes": artifact.size,
        "sha256": artifact.sha256,
        **_packed(artifact),
        "contract": contract.to_json(),
        **sessions,
        "inputs": [_value(v.name, v.dtype, v.shape) for v in summary.inputs],
        "outputs": [_value(v.name, v.dtype, v.shape) for v in summary.outputs],
        "opset": summary.opsets.get("", 0),
        "ir_version": summary.ir_version,
        "nodes": len(summary.nodes),
        "operators": summary.operators,
        "weights_bytes": summary.weights_bytes,
        "tensors": [_tensor(t) for t in tensors],
    }


def lines(artifact: ArtifactFile | SharedFile) -> Iterator[tuple[str, str]]:
    """The same as labelled lines: (label, text)."""
    summary, contract = artifact.summary, artifact.contract
    yield "file", f"{artifact.path}, {size(artifact.size)}"
    if isinstance(artifact, ArtifactFile) and artifact.packed is not None:
        yield from _packed_lines(artifact.path, artifact.packed)
    yield "sha256", artifact.sha256
    if isinstance(artifact, SharedFile):
        yield from _graph_lines(artifact)
    else:
        yield from _video_lines(artifact.contract)
    yield (
        "exported",
        (
            f"{contract.precision}, Fourier block by {contract.lowering}, "
            f"passes: {', '.join(contract.passes) or 'none'}"
        ),
    )
    if isinstance(contract, ArtifactContract) and contract.exactness is not None:
        yield "proof", contract.exactness.sentence()
    yield "producer", contract.producer or summary.producer or "unknown"
    masks = [value for value in summary.inputs if value.dtype == "bool"]
    yield "input", ", ".join(str(value) for value in summary.inputs if value not in masks)
    if masks:
        yield "masks", ", ".join(map(str, masks))
    yield "output", ", ".join(map(str, summary.outputs))
    yield "graph", f"{len(summary.nodes)} nodes, opset {summary.opsets.get('', 0)}"
    yield "operators", ", ".join(f"{count} {name}" for name, count in summary.operators.items())
    tensors = sorted(summary.initializers + summary.constants, key=lambda t: (-t.nbytes, t.name))
    yield "weights", f"{size(summary.weights_bytes)} in {len(tensors)} tensors"
    for tensor in tensors[:LISTED_TENSORS]:
        yield "", f"{size(tensor.nbytes):>10}  {tensor.dtype} {list(tensor.dims)} {tensor.name}"
    if len(tensors) > LISTED_TENSORS:
        rest = sum(t.nbytes for t in tensors[LISTED_TENSORS:])
        yield "", f"{size(rest):>10}  in {len(tensors) - LISTED_TENSORS} smaller ones"


def for_page(contract: ArtifactContract, number: int, file: str) -> dict[str, Any]:
    """What a page says of a session, as JSON types: its video, and its quality as the artifact records it.

    number: of the session on the page. file: the artifact's name, without folders.
    """
    video = contract.video
    return {
        "session": number,
        "name": video.name,
        "frames": video.frames,
        "width": video.width,
        "height": video.height,
        "fps": float(video.fps),
        "seconds": float(video.duration),
        "video": video.to_json(),
        "precision": contract.precision,
        "quality": contract.quality,
        "file": file,
    }


def _packed(artifact: ArtifactFile | SharedFile) -> dict[str, Any]:
    if not isinstance(artifact, ArtifactFile) or artifact.packed is None:
        return {}
    taken = [{"part": name, "bytes": round(taken, 1)} for name, taken in parts(artifact.path.read_bytes())]
    return {"packed": {"onnx_bytes": len(artifact.packed.model), "parts": taken}}


def _packed_lines(path: Path, packed: Unpacked) -> Iterator[tuple[str, str]]:
    yield "packed", f"the digest and everything below describe the unpacked .onnx, {size(len(packed.model))}"
    for name, taken in parts(path.read_bytes()):
        yield "", f"{size(round(taken)):>10}  {name}"


def _graph_lines(graph: SharedFile) -> Iterator[tuple[str, str]]:
    contract: SharedContract = graph.contract
    yield "shared", f"{contract.width}×{contract.height}, graph {contract.graph_sha256[:16]}…"
    if contract.extends:
        yield "extends", ", ".join(f"{digest[:16]}…" for digest in contract.extends)
    found = entries(graph)
    if not found:
        yield "sessions", "no sidecars found"
    for entry in found:
        video = None if entry.contract is None else entry.contract.video
        about = entry.problem if video is None else f"{video.name}: {video.frames} frames, {_rate(video)}"
        yield "session", f"{entry.session}: {about}, {size(entry.path.stat().st_size)} in {entry.path.name}"


def _video_lines(contract: ArtifactContract) -> Iterator[tuple[str, str]]:
    video = contract.video
    yield (
        "video",
        (
            f"{video.name}: {video.frames} frames, {video.width}×{video.height}, {_rate(video)}, "
            f"{float(video.duration):.2f} s"
        ),
    )
    time, unusual = contract.time_embedding, f", {video.colour.unusual}" if video.colour.unusual else ""
    yield (
        "time",
        "whole frames"
        if time is None
        else f"continuous, embedding of base {time.base:g}, {time.levels} levels, session scalar {time.scalar:g}",
    )
    yield "source", f"{video.source or 'unknown'} from frame {video.source_start}"
    yield (
        "colour",
        (
            f"{video.colour.matrix}, {video.colour.range} range{unusual}, sample aspect "
            f"{video.sample_aspect.numerator}:{video.sample_aspect.denominator}"
        ),
    )
    yield "session", f"{contract.session} of its library, weights {contract.weights_sha256[:16]}…"
    if contract.quality:
        yield "quality", ", ".join(f"{name} {value:.4g}" for name, value in contract.quality.items())


def _rate(video: VideoRecord) -> str:
    if video.times is None:
        return f"{float(video.fps):g} fps"
    return f"{float(video.times.rate):.4g} fps on average, variable frame rate"


def size(count: int) -> str:
    """A number of bytes as text: 12.3 MB."""
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
