"""Library files of formats 1 and 2: all sessions and the values they share in one safetensors file.

Layout (docs/format.md has all of it). The safetensors header's metadata has one key, `pfnr`, with JSON:

    {"format_version": 1 or 2, "producer": "...", "config": {ModelConfig}, "sessions": [{SessionRecord}, ...],
     "values": [{"kind": "coded", ...}, ...]}

`values` has one entry for every session: the kind of its values (`pfnr_train.library.values.KINDS`) and what that
kind adds. Version 1 has no `values`: all sessions have shared ones. The tensors are
those that the kind's `layout` names, as `sessions/<k>/<name>`, such as

    sessions/<k>/coded          uint8 [n], of `coded` values
    sessions/<k>/masks/<name>   uint8 [ceil(n/8)], bits packed in numpy.packbits order, of `shared` values

and, in version 1 and where a session has shared values, for every name of `ModelConfig.tensor_shapes`,

    weights/<name>              float32, as shaped by the configuration

and nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from pfnr_runtime import __version__
from pfnr_runtime.errors import LibraryError, PfnrError
from pfnr_train.library.checks import SessionEntry, layout_problems, require_finite
from pfnr_train.library.library import Library
from pfnr_train.library.session import Session
from pfnr_train.library.values import SharedValues
from pfnr_train.library.values.base import Layout
from pfnr_train.model.config import ModelConfig

# Version 1: all sessions have shared values. Written where that is so, that older versions of pfnr can read it.
SHARED_ONLY, ANY_VALUES = 1, 2
METADATA_KEY = "pfnr"


def whole_bytes(library: Library) -> bytes:
    """The file that a library with shared values makes. Same library, same bytes."""
    own = any(not session.values.uses_pool for session in library.sessions)
    version = ANY_VALUES if own or not library.weights else SHARED_ONLY
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    if library.shares or version == SHARED_ONLY:
        tensors = {f"weights/{n}": w for n, w in library.weights.items()}
    for k, session in enumerate(library.sessions):
        tensors |= {f"sessions/{k}/{name}": tensor for name, tensor in session.values.tensors().items()}
    header: dict[str, Any] = {
        "format_version": version,
        "producer": f"pfnr {__version__}",
        "config": library.config.to_json(),
        "sessions": [s.record.to_json() for s in library.sessions],
    }
    if version == ANY_VALUES:
        header["values"] = [{"kind": s.values.kind, **s.values.facts()} for s in library.sessions]
    contiguous = {name: np.ascontiguousarray(t) for name, t in tensors.items()}
    metadata = {METADATA_KEY: json.dumps(header, sort_keys=True, allow_nan=False)}
    return safetensors.numpy.save(contiguous, metadata=metadata)


def read_whole(path: Path, header: dict[str, Any], file: Any) -> Library:
    """The library in an open safetensors file with this JSON. A LibraryError says what is wrong with it."""
    config, entries = _parse(path, header)
    pool, layouts = _check_layout(path, config, entries, file, header["format_version"])
    return _load(path, config, entries, pool, layouts, file)


def _parse(path: Path, header: dict[str, Any]) -> tuple[ModelConfig, list[SessionEntry]]:
    try:
        config = ModelConfig.from_json(header.get("config"))
        sessions = header.get("sessions")
        if not isinstance(sessions, list):
            raise ValueError("its list of sessions is missing")
        pairs = zip(sessions, _values(header, len(sessions)), strict=True)
        entries = [SessionEntry.of(config, record, values) for record, values in pairs]
        names = [entry.record.video.name for entry in entries]
        if len(set(names)) < len(names):
            raise ValueError("two of its sessions have the same name")
    except (ValueError, TypeError, PfnrError) as error:
        reason = str(error)[:300]  # a hostile header may make any value as long as it likes
        raise LibraryError(f"{path}: its header is not valid ({reason}); restore the file from a copy") from None
    return config, entries


def _values(header: dict[str, Any], sessions: int) -> list[Any]:
    if header["format_version"] == SHARED_ONLY:
        return [{"kind": SharedValues.kind}] * sessions
    values = header.get("values")
    if not isinstance(values, list) or len(values) != sessions:
        raise ValueError("what it says of its sessions' values is not a list with one entry each")
    return values


def _check_layout(
    path: Path, config: ModelConfig, entries: list[SessionEntry], file: Any, version: int
) -> tuple[list[str], list[list[str]]]:
    """Names of the pool's tensors, and of every session's, that the file holds."""
    pool: Layout = {}
    if version == SHARED_ONLY or any(entry.kind.uses_pool for entry in entries):
        pool = {f"weights/{name}": ("F32", shape) for name, shape in config.tensor_shapes().items()}
    required = dict(pool)
    optional: Layout = {}
    for k, entry in enumerate(entries):
        try:
            needed, allowed = entry.layout(config)
        except ValueError as error:
            raise LibraryError(
                f"{path}: session {k} ({entry.record.video.name}): {error}; restore the file from a copy"
            ) from None
        required |= {f"sessions/{k}/{name}": layout for name, layout in needed.items()}
        optional |= {f"sessions/{k}/{name}": layout for name, layout in allowed.items()}
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {name: (part.get_dtype(), part.get_shape()) for name, part in parts.items()}
    problems = layout_problems(found, required, optional)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise LibraryError(f"{path} is not a valid library: {problems[0]}{more}; restore it from a copy")
    own: list[list[str]] = [[] for _ in entries]
    for name in (required | optional).keys() - pool.keys():
        if name in found:
            own[int(name.split("/")[1])].append(name)
    return list(pool), own


def _load(
    path: Path, config: ModelConfig, entries: list[SessionEntry], pool: list[str], own: list[list[str]], file: Any
) -> Library:
    def finite(name: str) -> np.ndarray[Any, Any]:
        try:
            return require_finite(name, file.get_tensor(name))
        except ValueError as error:
            raise LibraryError(f"{path}: {error}; restore the file from a copy") from None

    weights = {name.removeprefix("weights/"): finite(name) for name in pool}
    sessions = []
    for k, (entry, names) in enumerate(zip(entries, own, strict=True)):
        tensors = {name.removeprefix(f"sessions/{k}/"): finite(name) for name in names}
        try:
            values = entry.kind.read(config, entry.facts, tensors)
        except ValueError as error:
            raise LibraryError(
                f"{path}: session {k} ({entry.record.video.name}): {error}; restore the file from a copy"
            ) from None
        sessions.append(Session(entry.record, values))
    library = Library(config, weights, tuple(sessions))
    for k in range(len(sessions)):
        library.check_parents(k)
    return library
