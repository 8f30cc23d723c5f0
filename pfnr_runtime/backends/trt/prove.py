"""Checking a fresh engine against the golden frames next to an artifact, before it is cached."""

from __future__ import annotations

import numpy as np

from pfnr_runtime.artifact.golden import SUFFIX, Golden, read_golden
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.parity import Comparison, rule_for
from pfnr_runtime.backends.base import to_pictures
from pfnr_runtime.backends.trt.decode_loop import DecodeLoop
from pfnr_runtime.errors import BackendError


def golden_beside(artifact: ArtifactFile) -> Golden | None:
    """The golden file next to an artifact, or None: `v5.golden` for `v5.onnx`, `library.2.golden` for the sidecar
    `library.2.safetensors`.

    An ArtifactError or VerificationError if it is damaged or another video's.
    """
    video = artifact.path if artifact.sidecar is None else artifact.sidecar.path
    path = video.with_suffix(SUFFIX)
    return read_golden(path, artifact.contract) if path.exists() else None


def prove(loop: DecodeLoop, artifact: ArtifactFile, golden: Golden) -> str:
    """Decode the golden file's whole frames, one by one and together, and check the artifact's parity rule.

    Returns the outcome in words. A BackendError if the rule does not hold.
    """
    compared = Comparison(rule_for(artifact.contract))
    numbers = np.array(sorted(golden.whole), np.int64)
    if len(numbers) == 0:
        return "its golden file has no whole frames to compare"
    for batch in (*np.split(numbers, len(numbers)), numbers):
        pictures = to_pictures(loop.decode(artifact.contract.inputs_at(batch)))
        for i, picture in zip(batch.tolist(), pictures, strict=True):
            compared.add(i, golden.whole[i], picture)
    if problems := compared.problems():
        raise BackendError(f"{artifact.path}: the engine that was built is not used: {'; '.join(problems)}")
    largest = max(frame.largest for frame in compared.frames)
    return f"{len(numbers)} golden frames within the rule, largest difference {largest} of 255"
