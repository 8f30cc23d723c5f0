"""Exporting a library as a shared graph and sidecars: only what is new or changed is written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pfnr_export.checks import run_checks
from pfnr_export.emit import serialise
from pfnr_export.shared.build import (
    Generation,
    SessionInputs,
    SharedOptions,
    generations,
    session_inputs,
    shared_model,
)
from pfnr_runtime.artifact.contract import SharedContract
from pfnr_runtime.artifact.lifted_graph import lift
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.artifact.sidecar import metadata, sidecar_path
from pfnr_runtime.errors import ArtifactError, UsageError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_train.library.library import Library


@dataclass(frozen=True)
class ExportedSidecar:
    """One session's file. written: whether it was new or different. added: weights that no earlier session
    uses.
    """

    session: int
    name: str
    path: Path
    file_bytes: int
    written: bool
    added: int


@dataclass(frozen=True)
class SharedExport:
    """What an export did.

    graph: `new` (no file existed), `kept` (the existing graph serves these sessions too), `extended` (the library
    now uses more weights; earlier sidecars stay valid) or `replaced` (the existing file was not a graph of this
    library with these options; its sidecars no longer fit). checks: the result of each requested check, by name.
    grown: for `extended`, how many weights free in the existing graph each session now uses.
    """

    path: Path
    graph: str
    contract: SharedContract
    file_bytes: int
    sidecars: tuple[ExportedSidecar, ...]
    grown: dict[int, int] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def sentence(self) -> str:
        """Which files a device with the previous export needs now."""
        fresh = [s for s in self.sidecars if s.written]
        if self.graph == "kept":
            sidecars = ", ".join(s.path.name for s in fresh) or "nothing"
            return f"the graph is unchanged: send {sidecars}"
        names = ", ".join(s.path.name for s in fresh)
        if self.graph == "extended":
            also = f" and {names}" if names else ""
            grown = ", ".join(f"{index} ({added:,})" for index, added in self.grown.items())
            return (
                f"a new graph is needed, for weights that were free and are now used by session {grown}: "
                f"send {self.path.name}{also}; earlier sidecars stay valid"
            )
        why = "no earlier export" if self.graph == "new" else "what was there was no graph of this library"
        return f"a full export ({why}): send {self.path.name} and {names or 'its sidecars'}"


def export_shared(library: Library, sessions: list[int], path: Path, options: SharedOptions) -> SharedExport:
    """Write the shared graph of a library to `path`, and a sidecar next to it for each of `sessions`.

    Same library, sessions and options: same bytes. Everything is computed and checked before the first file
    is written, the graph before its sidecars.
    """
    if not sessions:
        raise UsageError("no sessions to export: choose some, such as 0,2, or all")
    last: Generation | None = None
    pending: list[tuple[ExportedSidecar, bytes]] = []
    there, grown = _existing(path), {}
    for generation in generations(library, max(sessions), options):
        last = generation
        if (
            generation.added
            and isinstance(there, SharedFile)
            and not there.contract.serves(generation.digests[-1])
        ):
            grown[generation.session] = generation.added
        if generation.session in sessions:
            pending.append(_sidecar(path, session_inputs(library, generation, options), generation.added))
    assert last is not None
    model = shared_model(library, last, options)
    data = serialise(model)
    seen = run_checks(model, data, options.checks)
    if isinstance(there, SharedFile) and there.contract.serves(last.digests[-1]):
        state, contract, size = "kept", there.contract, there.size
    else:
        write_atomically(path, data)
        size = len(data)
        contract = SharedContract.from_json(json.loads(model.metadata_props[0].value))
        extends = isinstance(there, SharedFile) and contract.serves(there.contract.graph_sha256)
        state = "new" if there is None else "extended" if extends else "replaced"
    for sidecar, content in pending:
        if sidecar.written:
            write_atomically(sidecar.path, content)
    return SharedExport(path, state, contract, size, tuple(sidecar for sidecar, _ in pending), grown, seen)


def _sidecar(graph: Path, inputs: SessionInputs, added: int) -> tuple[ExportedSidecar, bytes]:
    session, data = inputs.record.contract.session, encode_sidecar(inputs)
    path = sidecar_path(graph, session)
    same = path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    name = inputs.record.contract.video.name
    return ExportedSidecar(session, name, path, len(data), not same, added), data


def encode_sidecar(inputs: SessionInputs) -> bytes:
    """The sidecar file of a session, deterministic (`pfnr_runtime.artifact.sidecar`)."""
    tensors: dict[str, np.ndarray[Any, Any]] = {**inputs.masks, **inputs.tensors}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data: bytes = safetensors.numpy.save(tensors, metadata=metadata(inputs.record, tensors))
    return data


def _existing(path: Path) -> SharedFile | str | None:
    """The existing file at `path`: a shared graph, something else, or nothing."""
    if not path.exists():
        return None
    try:
        found = examine_artifact(path)
        if isinstance(found, SharedFile):
            lift(found)  # checks its digest: a damaged graph is not kept
            return found
    except ArtifactError:
        return "no artifact"
    return "one video"
