"""A sidecar: one session's data for a shared graph, in one small file next to it.

`library.onnx` has its sessions in `library.0.safetensors`, `library.1.safetensors`, ...: the number is the
session's index in its library. Format (version 1, safetensors):

- For every graph input but `frame_index`, one tensor of the input's name. Where the input is bool (a mask),
  uint8 [ceil(n/8)], bits packed in numpy.packbits order, unused last bits 0. Where it is float32 (the
  session's table, its head), float32 of the input's shape, a dynamic size being the number of frames.
- Metadata, one key, `pfnr`: JSON `{"record": {SidecarRecord}, "sha256": "..."}`, where the digest is
  `checksum` of the record (as `SidecarRecord.to_json` writes it) and of every tensor.

A sidecar names the digest of its library's graph as of that session. A graph accepts it if that digest is its own
or one it extends (`SharedContract.serves`), so old sidecars stay unchanged as the library grows. Nothing in a file
is used before all of it has been checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import (
    INPUT_NAME,
    METADATA_KEY,
    ArtifactContract,
    SharedContract,
    check_digests,
    one_line,
)
from pfnr_runtime.artifact.onnx.file import ValueInfo
from pfnr_runtime.artifact.safetensors_file import SafetensorsHeader, read_header, read_tensors
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.video.record import require_fields

AGAIN = "copy or export it again"


@dataclass(frozen=True)
class SidecarRecord:
    """The metadata of a sidecar.

    contract: of the session, as in a per-video artifact but of kind `session`. graph_sha256: of the graph it was
    made for. extends: of the graphs before that one, as `SharedContract.extends`.
    """

    contract: ArtifactContract
    graph_sha256: str
    extends: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.contract.kind != "session":
            raise ValueError(f"its contract is of kind {self.contract.kind!r}, not 'session'")
        check_digests((self.graph_sha256, *self.extends))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "contract": self.contract.to_json(),
            "graph_sha256": self.graph_sha256,
            "extends": list(self.extends),
        }

    @classmethod
    def from_json(cls, value: Any) -> SidecarRecord:
        """The inverse of `to_json`; a ValueError names what is wrong."""
        given = require_fields(value, cls)
        if not isinstance(given["extends"], list):
            raise ValueError("extends must be a list")
        contract = ArtifactContract.from_json(given["contract"])
        return cls(contract, given["graph_sha256"], tuple(given["extends"]))


@dataclass(frozen=True)
class Sidecar:
    """A session that passed every check against its graph. masks: packed bits by the name of a bool input.
    tensors: float32 by the name of an input.
    """

    path: Path
    record: SidecarRecord
    masks: dict[str, NDArray[np.uint8]]
    tensors: dict[str, NDArray[np.float32]]

    @property
    def contract(self) -> ArtifactContract:
        """The session's contract."""
        return self.record.contract

    def feeds(self, inputs: tuple[ValueInfo, ...]) -> dict[str, NDArray[Any]]:
        """The graph's inputs except `frame_index`, masks unpacked to bool: for engines that run the unmodified
        graph.
        """
        shapes = {value.name: value.shape for value in inputs}
        feeds: dict[str, NDArray[Any]] = dict(self.tensors)
        for name, packed in self.masks.items():
            shape = _sizes(shapes[name], self.contract.video.frames)
            feeds[name] = np.unpackbits(packed, count=prod(shape)).astype(np.bool_).reshape(shape)
        return feeds


def sidecar_path(graph: Path, session: int) -> Path:
    """The path of a session's sidecar, next to its graph."""
    return graph.with_name(f"{graph.stem}.{session}.safetensors")


def list_sidecars(graph: Path) -> dict[int, Path]:
    """The sidecars next to a graph by session index, in order. Judged by file names only."""
    pattern = re.compile(re.escape(graph.stem) + r"\.(0|[1-9]\d{0,8})\.safetensors", re.ASCII)
    found = {}
    for path in graph.parent.iterdir():
        if match := pattern.fullmatch(path.name):
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def checksum(record: SidecarRecord, tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 in hex of the record's text and of every tensor: name, dtype, shape and bytes, in name order."""
    digest = hashlib.sha256(one_line(record.to_json()).encode() + b"\0")
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode() + b"\0")
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def metadata(record: SidecarRecord, tensors: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """The metadata of a sidecar with this content."""
    return {METADATA_KEY: one_line({"record": record.to_json(), "sha256": checksum(record, tensors)})}


def read_record(path: Path) -> SidecarRecord:
    """The record in a sidecar's header; an ArtifactError says what is wrong with it."""
    return _guarded(path, lambda: _parse(read_header(path))[0])


def read_sidecar(path: Path, session: int, shared: SharedContract, inputs: tuple[ValueInfo, ...]) -> Sidecar:
    """The sidecar of session `session`, checked against the graph's contract and inputs.

    An ArtifactError if it is missing, damaged, or for another graph.
    """

    def read() -> Sidecar:
        header = read_header(path)
        record, digest = _parse(header)
        _check_belongs(path, record, session, shared)
        _check_layout(header, record, inputs)
        tensors = read_tensors(path, header)
        if checksum(record, tensors) != digest:
            raise ValueError("its bytes do not match its checksum")
        _check_values(tensors, inputs)
        masks = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.uint8}
        rest = {name: tensor for name, tensor in tensors.items() if name not in masks}
        return Sidecar(path, record, masks, rest)

    return _guarded(path, read)


def _guarded(path: Path, read: Any) -> Any:
    try:
        return read()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such sidecar; copy it next to its graph or export it again") from None
    except PermissionError:
        raise ArtifactError(f"{path}: permission denied; make the file readable") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); check the path and the disk") from None
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a sidecar, or a damaged one: {error}; {AGAIN}") from None


def _parse(header: SafetensorsHeader) -> tuple[SidecarRecord, str]:
    """The record in a header, and its checksum."""
    if header.metadata.keys() != {METADATA_KEY}:
        raise ValueError(f"its metadata is not {METADATA_KEY!r} alone")
    about = json.loads(header.metadata[METADATA_KEY])
    if not isinstance(about, dict) or about.keys() != {"record", "sha256"}:
        raise ValueError("its metadata is not a record and a digest")
    check_digests((about["sha256"],))
    return SidecarRecord.from_json(about["record"]), about["sha256"]


def _check_belongs(path: Path, record: SidecarRecord, session: int, shared: SharedContract) -> None:
    contract = record.contract
    if contract.session != session:
        raise ArtifactError(
            f"{path}: holds session {contract.session} ({contract.video.name}), not {session} as its name says; "
            "restore its original name"
        )
    if not shared.serves(record.graph_sha256):
        theirs, ours = record.graph_sha256[:16], shared.graph_sha256[:16]
        if shared.graph_sha256 in record.extends:
            raise ArtifactError(
                f"{path}: session {session} ({contract.video.name}) needs the graph {theirs}… of a library that "
                f"has grown, and the one here is its older {ours}…; copy the newer one: "
                "it serves old sessions too"
            )
        raise ArtifactError(
            f"{path}: session {session} ({contract.video.name}) belongs to the graph {theirs}…, and the one here "
            f"is {ours}…; use two that belong together, or export both with pfnr-export --shared"
        )
    promised = (shared.width, shared.height, shared.output)
    if (contract.video.width, contract.video.height, contract.output) != promised:
        raise ValueError(f"its frames are not the graph's {shared.width}x{shared.height} {shared.output}")


def _check_layout(header: SafetensorsHeader, record: SidecarRecord, inputs: tuple[ValueInfo, ...]) -> None:
    wanted = {value.name: value for value in inputs if value.name != INPUT_NAME}
    for what, names in (
        ("lacks", wanted.keys() - header.tensors),
        ("has an unknown", header.tensors.keys() - wanted),
    ):
        if names:
            raise ValueError(f"it {what} tensor {min(names)[:80]!r}")
    for name, value in wanted.items():
        spec = header.tensors[name]
        sizes = _sizes(value.shape, record.contract.video.frames)
        expected = ("U8", ((prod(sizes) + 7) // 8,)) if value.dtype == "bool" else ("F32", sizes)
        if (spec.dtype, spec.shape) != expected:
            raise ValueError(f"{name} is {spec.dtype} {list(spec.shape)}, not {expected[0]} {list(expected[1])}")


def _check_values(tensors: dict[str, NDArray[Any]], inputs: tuple[ValueInfo, ...]) -> None:
    shapes = {value.name: value.shape for value in inputs}
    for name, tensor in tensors.items():
        if tensor.dtype != np.uint8:
            if not np.isfinite(tensor).all():
                raise ValueError(f"{name} holds values that are not numbers")
            continue
        spare = -prod(_sizes(shapes[name], 0)) % 8
        if spare and tensor[-1] & ((1 << spare) - 1):
            raise ValueError(f"{name} has bits beyond its end")


def _sizes(shape: tuple[int | str | None, ...], frames: int) -> tuple[int, ...]:
    """A graph input's shape, with its dynamic size, if any, set to the number of frames."""
    return tuple(size if isinstance(size, int) else frames for size in shape)
