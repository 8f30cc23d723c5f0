"""The seal of an .onnx: a digest of the whole file, as its last entry.

Whatever changes in a file after its export, a weight, a node or a number in the contract, is then found when it is
opened instead of played. A seal is an entry of the model's metadata, key `pfnr_sha256`, whose value is the SHA-256
in hex of every byte before the entry. Nothing follows it. It guards against damage, not against malice: whoever
writes a file can seal it. Files that were exported before there were seals have none, and open without one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pfnr_runtime.artifact.onnx.file import OnnxSummary
from pfnr_runtime.artifact.onnx.wire import write_message
from pfnr_runtime.errors import ArtifactError

SEAL_KEY = "pfnr_sha256"
_METADATA = 14  # field number of an entry in a model
_BLOCK = 1 << 20


def _entry(digest: str) -> bytes:
    return write_message(_METADATA, write_message(1, SEAL_KEY.encode()) + write_message(2, digest.encode()))


SEAL_BYTES = len(_entry("0" * 64))


def seal(model: bytes) -> bytes:
    """A model's bytes with a seal at their end."""
    return model + _entry(hashlib.sha256(model).hexdigest())


def without_seal(model: bytes) -> bytes | None:
    """The bytes that a seal was put on; None where a model has no valid one."""
    body = model[:-SEAL_BYTES]
    return body if seal(body) == model else None


def check_seal(path: Path, summary: OnnxSummary) -> None:
    """Check the seal of the file at `path`, if it has one; an ArtifactError if the file is not what was sealed."""
    if SEAL_KEY not in summary.metadata:
        return
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            left = path.stat().st_size - SEAL_BYTES
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                digest.update(block)
                left -= len(block)
            end = file.read(SEAL_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and the disk") from None
    if end != _entry(digest.hexdigest()):
        raise ArtifactError(
            f"{path}: damaged or changed since it was exported: its bytes do not have the digest "
            f"{summary.metadata[SEAL_KEY][:16]}… at its end; copy or export it again"
        )
