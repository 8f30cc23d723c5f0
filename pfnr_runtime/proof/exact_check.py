"""Checking an exact artifact by its own digest: no torch, no library, no second file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pfnr_runtime.artifact.exactness import Exactness, FramesDigest
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import UsageError
from pfnr_runtime.proof.first_layer import FirstLayer, first_layer
from pfnr_runtime.system.progress import SILENT, Progress


@dataclass(frozen=True)
class ExactReport:
    """The outcome of a check by digest.

    - expected: what the artifact says of its frames. found: the digest of those that were decoded.
    - different: frames whose own check differs; one in 256 wrong frames is not among them.
    - where: in the first of them, the first layer that differs, where one was looked for.
    """

    backend: str
    frames: int
    expected: Exactness
    found: str
    different: tuple[int, ...]
    where: FirstLayer | None = None

    @property
    def passed(self) -> bool:
        """Whether every byte of every frame is as PyTorch decoded it."""
        return self.found == self.expected.frames_sha256

    @property
    def problems(self) -> tuple[str, ...]:
        """Empty if the digest is right."""
        if self.passed:
            return ()
        frame = (
            f"frame {self.different[0]} is the first of {len(self.different)} that differ"
            if self.different
            else "which frame differs cannot be told"
        )
        layer = "" if self.where is None else f"; {self.where.why}"
        return (
            f"{self.backend.splitlines()[0]} does not reproduce this video: {frame}{layer}. Compare frame by "
            "frame with the library, and play it with another backend until the cause is found",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "passed": self.passed,
            "problems": list(self.problems),
            "backend": self.backend,
            "frames": self.frames,
            "frames_sha256": self.found,
            "expected_sha256": self.expected.frames_sha256,
            "different_frames": list(self.different),
            "first_layer": None if self.where is None else self.where.to_json(),
            "margin_bits": round(self.expected.margin, 2),
        }


def check_exact(decoder: VideoDecoder, progress: Progress = SILENT) -> ExactReport:
    """Decode every frame and compare the digest of all with the artifact's; a UsageError if it has none."""
    exactness = decoder.contract.exactness
    if exactness is None:
        raise UsageError(
            f"this artifact's precision is {decoder.contract.precision}, which has no digest of its frames; "
            "verify it against its library, or export it with the precision exact"
        )
    digest = FramesDigest()
    progress.stage("verifying", len(decoder))
    for frame in decoder:
        digest.add(frame.data)
        progress.advance()
    wanted, found = exactness.frame_checks, digest.checks
    different = tuple(i for i in range(len(decoder)) if wanted[2 * i : 2 * i + 2] != found[2 * i : 2 * i + 2])
    where = first_layer(decoder, different[0]) if different else None
    return ExactReport(str(decoder.backend), len(decoder), exactness, digest.sha256, different, where)
