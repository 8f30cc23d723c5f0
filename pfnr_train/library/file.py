"""The `*.pfnr` file: a library in the safetensors format, validated before anything in it is believed.

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

and nothing else. A file is written under a temporary name, fsynced and renamed, under a lock; readers need none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import safetensors
import safetensors.numpy

from pfnr_runtime import __version__
from pfnr_runtime.errors import LibraryError, PfnrError
from pfnr_runtime.system.leftovers import remove_leftovers
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import KINDS, SessionValues, SharedValues
from pfnr_train.library.values.base import Layout
from pfnr_train.model.config import ModelConfig

# Version 1: all sessions have shared values. Written where that is so, that older versions of pfnr can read it.
SHARED_ONLY, ANY_VALUES = 1, 2
METADATA_KEY = "pfnr"


def real_path(path: Path) -> Path:
    """The file that `path` names, also where it is a link to it."""
    return path.resolve() if path.is_symlink() else path


@contextlib.contextmanager
def lock_library(path: Path) -> Iterator[None]:
    """Hold the library's lock, `<name>.lock` next to the file itself, even if `path` is a link to it.

    A LibraryError, with the process's number where that is known, if another process holds it, and for a library
    that may not be written. Where no library comes of it, its lock file goes too.
    """
    if not path.parent.is_dir():
        raise LibraryError(f"{path}: folder {path.parent} does not exist; make it first: mkdir -p {path.parent}")
    if path.exists() and not _is_writable(path):
        raise LibraryError(f"{path} is read-only; allow writing with chmod u+w, or add to a copy of it")
    file = Path(f"{real_path(path)}.lock")
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        holder = file.read_text(errors="replace")[:20].strip()
        raise LibraryError(
            f"{path} is locked: {f'process {holder}' if holder.isdecimal() else 'another process'} is adding to "
            "it; wait for it to end, then run this again"
        ) from None
    try:
        with contextlib.suppress(OSError):  # a full disk takes away only the number
            file.write_text(f"{os.getpid()}\n")
        remove_leftovers(real_path(path))
        yield
    finally:
        if not path.exists():
            file.unlink(missing_ok=True)
        lock.release()


def _is_writable(path: Path) -> bool:
    """Whether the file's own mode allows writing: renaming a new one onto it would not ask, nor is root asked."""
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK)


def write_library(library: Library, path: Path) -> None:
    """Write the whole library, atomically. Raises OSError, also where the file there is read-only."""
    if path.exists() and not _is_writable(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    write_atomically(real_path(path), library_bytes(library))


def library_bytes(library: Library) -> bytes:
    """The file a library makes. Same library, same bytes."""
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


def read_library(path: Path) -> Library:
    """Read and validate a library; a LibraryError says what is wrong with the file and what to do."""
    if not path.exists():
        raise LibraryError(
            f"{path} does not exist; make it with `pfnr-train add CLIP --library {path}`, or name another with "
            "`library` or $PFNR_LIBRARY"
        )
    if path.is_dir():
        raise LibraryError(f"{path} is a folder; name the library file in it")
    try:
        require_regular(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata())
            config, entries = _parse(path, header)
            pool, layouts = _check_layout(path, config, entries, file, header["format_version"])
            return _load(path, config, entries, pool, layouts, file)
    except PermissionError:
        raise LibraryError(f"{path}: permission denied; make the file readable") from None
    except safetensors.SafetensorError as error:
        raise LibraryError(
            f"{path} is not a library, or is truncated or damaged ({error}); restore it from a copy"
        ) from None


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise LibraryError(f"{path} is a safetensors file but not a pfnr library; name another with `library`")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise LibraryError(f"{path}: its header is not readable; restore the file from a copy")
    version = header.get("format_version")
    if version not in (SHARED_ONLY, ANY_VALUES):
        raise LibraryError(
            f"{path} is of library format {str(version)[:20]}; this version of pfnr reads {SHARED_ONLY} and "
            f"{ANY_VALUES}: install a matching pfnr"
        )
    return header


@dataclass(frozen=True)
class _Entry:
    """What the header says of one session."""

    record: SessionRecord
    kind: type[SessionValues]
    facts: dict[str, Any]


def _parse(path: Path, header: dict[str, Any]) -> tuple[ModelConfig, list[_Entry]]:
    try:
        config = ModelConfig.from_json(header.get("config"))
        sessions = header.get("sessions")
        if not isinstance(sessions, list):
            raise ValueError("its list of sessions is missing")
        records = [SessionRecord.from_json(record) for record in sessions]
        for record in records:
            if (record.video.width, record.video.height) != config.size:
                raise ValueError(f"session {record.video.name!r} is not of the network's size {config.size}")
        names = [record.video.name for record in records]
        if len(set(names)) < len(names):
            raise ValueError("two of its sessions have the same name")
        entries = [_entry(*pair) for pair in zip(records, _values(header, len(records)), strict=True)]
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


def _entry(record: SessionRecord, value: Any) -> _Entry:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"values of kind {str(kind)[:50]!r}; this version of pfnr knows {', '.join(KINDS)}")
    return _Entry(record, KINDS[kind], {key: fact for key, fact in value.items() if key != "kind"})


def _check_layout(
    path: Path, config: ModelConfig, entries: list[_Entry], file: Any, version: int
) -> tuple[list[str], list[list[str]]]:
    """Names of the pool's tensors, and of every session's, that the file holds."""
    pool: Layout = {}
    if version == SHARED_ONLY or any(entry.kind.uses_pool for entry in entries):
        pool = {f"weights/{name}": ("F32", shape) for name, shape in config.tensor_shapes().items()}
    required = dict(pool)
    optional: Layout = {}
    for k, entry in enumerate(entries):
        try:
            needed, allowed = entry.kind.layout(config, entry.record.video.frames, entry.facts)
        except ValueError as error:
            raise LibraryError(
                f"{path}: session {k} ({entry.record.video.name}): {error}; restore the file from a copy"
            ) from None
        required |= {f"sessions/{k}/{name}": layout for name, layout in needed.items()}
        optional |= {f"sessions/{k}/{name}": layout for name, layout in allowed.items()}
    names = set(file.keys())
    problems = [f"lacks {name}" for name in sorted(required.keys() - names)]
    problems += [f"has an unknown tensor {name}" for name in sorted(names - required.keys() - optional.keys())]
    for name, (dtype, shape) in (required | optional).items():
        if name in names:
            part = file.get_slice(name)
            found = tuple(part.get_shape())
            fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))
            if part.get_dtype() != dtype or not fits:
                wanted = ["any length" if n is None else n for n in shape]
                problems.append(f"{name} is {part.get_dtype()} {part.get_shape()}, not {dtype} {wanted}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise LibraryError(f"{path} is not a valid library: {problems[0]}{more}; restore it from a copy")
    own: list[list[str]] = [[] for _ in entries]
    for name in (required | optional).keys() - pool.keys():
        if name in names:
            own[int(name.split("/")[1])].append(name)
    return list(pool), own


def _load(
    path: Path, config: ModelConfig, entries: list[_Entry], pool: list[str], own: list[list[str]], file: Any
) -> Library:
    def finite(name: str) -> np.ndarray[Any, Any]:
        tensor: np.ndarray[Any, Any] = file.get_tensor(name)
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise LibraryError(
                f"{path}: {name} holds values that are not finite numbers; restore the file from a copy"
            )
        return tensor

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
