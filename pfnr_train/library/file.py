"""The `*.pfnr` file: a library in the safetensors format, validated before anything in it is believed.

Layout (format version 1). The safetensors header's metadata has one key, `pfnr`, with JSON:

    {"format_version": 1, "producer": "...", "config": {ModelConfig}, "sessions": [{SessionRecord}, ...]}

and the tensors are, for every name of `ModelConfig.tensor_shapes` and every session k,

    weights/<name>              float32, as shaped by the configuration
    sessions/<k>/masks/<name>   uint8 [ceil(n/8)], bits packed in numpy.packbits order
    sessions/<k>/head/<name>    float32, as shaped by the configuration
    sessions/<k>/time_table     float32 [N, 4L], only for sessions that were trained with another table

and nothing else. A file is written beside its name, fsynced and renamed, under a lock; readers need none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import safetensors
import safetensors.numpy

from pfnr_runtime import __version__
from pfnr_runtime.errors import LibraryError, PfnrError
from pfnr_runtime.system.atomic_file import write_atomically
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.model.config import ModelConfig

FORMAT_VERSION = 1
METADATA_KEY = "pfnr"


def default_library_path() -> Path:
    """`$PFNR_LIBRARY` if set, else `library.pfnr` in the current folder."""
    return Path(os.environ.get("PFNR_LIBRARY") or "library.pfnr")


def real_path(path: Path) -> Path:
    """The file that `path` names, also where it is a link to it."""
    return path.resolve() if path.is_symlink() else path


@contextlib.contextmanager
def lock_library(path: Path) -> Iterator[None]:
    """Hold the library's lock, `<name>.lock` beside the file itself, also where `path` is a link to it.

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
    tensors: dict[str, np.ndarray[Any, Any]] = {f"weights/{n}": w for n, w in library.weights.items()}
    for k, session in enumerate(library.sessions):
        tensors |= {f"sessions/{k}/masks/{n}": bits for n, bits in session.masks.items()}
        tensors |= {f"sessions/{k}/head/{n}": w for n, w in session.head.items()}
        if session.time_table is not None:
            tensors[f"sessions/{k}/time_table"] = session.time_table
    header = {
        "format_version": FORMAT_VERSION,
        "producer": f"pfnr {__version__}",
        "config": library.config.to_json(),
        "sessions": [s.record.to_json() for s in library.sessions],
    }
    contiguous = {name: np.ascontiguousarray(t) for name, t in tensors.items()}
    metadata = {METADATA_KEY: json.dumps(header, sort_keys=True, allow_nan=False)}
    return safetensors.numpy.save(contiguous, metadata=metadata)


def read_library(path: Path) -> Library:
    """Read and validate a library; a LibraryError says what is wrong with the file and what to do."""
    if not path.exists():
        raise LibraryError(
            f"{path} does not exist; make it with `pfnr-train add CLIP --library {path}`, or name another with "
            "--library or $PFNR_LIBRARY"
        )
    if path.is_dir():
        raise LibraryError(f"{path} is a folder; name the library file in it")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata())
            config, records = _parse(path, header)
            _check_layout(path, config, records, file)
            return _load(config, records, file)
    except PermissionError:
        raise LibraryError(f"{path}: permission denied; make the file readable") from None
    except safetensors.SafetensorError as error:
        raise LibraryError(
            f"{path} is not a library, or is truncated or damaged ({error}); restore it from a copy"
        ) from None


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise LibraryError(f"{path} is a safetensors file but not a pfnr library; name another with --library")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise LibraryError(f"{path}: its header is not readable; restore the file from a copy")
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise LibraryError(
            f"{path} is of library format {version}; this version of pfnr reads {FORMAT_VERSION}: install a "
            "matching pfnr"
        )
    return header


def _parse(path: Path, header: dict[str, Any]) -> tuple[ModelConfig, list[SessionRecord]]:
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
    except (ValueError, TypeError, PfnrError) as error:
        reason = str(error)[:300]  # a hostile header may make any value as long as it likes
        raise LibraryError(f"{path}: its header is not valid ({reason}); restore the file from a copy") from None
    return config, records


def _expected(config: ModelConfig, records: list[SessionRecord]) -> dict[str, tuple[str, tuple[int, ...]]]:
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    shapes = config.tensor_shapes()
    for name, shape in shapes.items():
        layout[f"weights/{name}"] = ("F32", shape)
    for k in range(len(records)):
        for name, shape in shapes.items():
            layout[f"sessions/{k}/masks/{name}"] = ("U8", ((int(np.prod(shape)) + 7) // 8,))
        for name, shape in config.head_shapes().items():
            layout[f"sessions/{k}/head/{name}"] = ("F32", shape)
    return layout


def _optional(config: ModelConfig, records: list[SessionRecord]) -> dict[str, tuple[str, tuple[int, ...]]]:
    width = 4 * config.embed_levels
    return {f"sessions/{k}/time_table": ("F32", (r.video.frames, width)) for k, r in enumerate(records)}


def _check_layout(path: Path, config: ModelConfig, records: list[SessionRecord], file: Any) -> None:
    names = set(file.keys())
    required, optional = _expected(config, records), _optional(config, records)
    problems = [f"lacks {name}" for name in sorted(required.keys() - names)]
    problems += [f"has an unknown tensor {name}" for name in sorted(names - required.keys() - optional.keys())]
    for name, (dtype, shape) in (required | optional).items():
        if name in names:
            part = file.get_slice(name)
            if (part.get_dtype(), tuple(part.get_shape())) != (dtype, shape):
                problems.append(f"{name} is {part.get_dtype()} {part.get_shape()}, not {dtype} {list(shape)}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise LibraryError(f"{path} is not a valid library: {problems[0]}{more}; restore it from a copy")


def _load(config: ModelConfig, records: list[SessionRecord], file: Any) -> Library:
    weights = {name: file.get_tensor(f"weights/{name}") for name in config.tensor_shapes()}
    names = set(file.keys())
    sessions = []
    for k, record in enumerate(records):
        masks = {name: file.get_tensor(f"sessions/{k}/masks/{name}") for name in weights}
        head = {name: file.get_tensor(f"sessions/{k}/head/{name}") for name in config.head_shapes()}
        table = f"sessions/{k}/time_table"
        sessions.append(Session(record, masks, head, file.get_tensor(table) if table in names else None))
    return Library(config, weights, tuple(sessions))
