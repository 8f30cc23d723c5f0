"""Verifying an artifact against the library it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from polygraphy.comparator import Comparator
from polygraphy.logger import G_LOGGER

from pfnr_export.parity.runners import ArtifactRunner, MaskedSessionRunner
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME, ArtifactContract
from pfnr_runtime.artifact.parity import Comparison, FrameParity, ParityRule, finite
from pfnr_runtime.errors import VerificationError
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_runtime.video.metrics import capped_psnr, mse_of_psnr, psnr_of_mse
from pfnr_runtime.video.record import VideoRecord
from pfnr_train.library.library import Library

# Frames both sides decode before they are compared: bounds memory on long videos.
FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class SourceParity:
    """Mean PSNR against the source clip in dB, of the PyTorch frames and of the artifact's."""

    reference_psnr: float
    artifact_psnr: float


@dataclass(frozen=True)
class VerificationReport:
    """The outcome. frames: one entry per frame. source: if the clip was available. problems: empty if the rule
    holds.
    """

    contract: ArtifactContract
    backend: str
    rule: ParityRule
    frames: tuple[FrameParity, ...]
    source: SourceParity | None
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the rule holds."""
        return not self.problems

    @property
    def largest(self) -> int:
        """Largest difference of any sample, in steps of 255."""
        return max(f.largest for f in self.frames)

    @property
    def differing(self) -> int:
        """Samples that differ, over all frames."""
        return sum(f.differing for f in self.frames)

    @property
    def samples(self) -> int:
        """Samples compared, over all frames."""
        return sum(f.samples for f in self.frames)

    @property
    def psnr(self) -> float:
        """PSNR between the two sides in dB over all samples, inf if every one is equal."""
        return psnr_of_mse(sum(mse_of_psnr(f.psnr) for f in self.frames) / len(self.frames))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; a PSNR of equal frames is null."""
        return {
            "passed": self.passed,
            "problems": list(self.problems),
            "session": self.contract.session,
            "name": self.contract.video.name,
            "precision": self.contract.precision,
            "backend": self.backend,
            "rule": self.rule.to_json(),
            "frames": len(self.frames),
            "identical_frames": sum(f.differing == 0 for f in self.frames),
            "largest_difference": self.largest,
            "differing_samples": self.differing,
            "samples": self.samples,
            "worst_frame_fraction": max(f.fraction for f in self.frames),
            "psnr_between": finite(self.psnr),
            "source": None if self.source is None else asdict(self.source),
            "per_frame": [f.to_json() for f in self.frames],
        }


def verify_artifact(
    decoder: VideoDecoder,
    library: Library,
    rule: ParityRule,
    source: NDArray[np.uint8] | None = None,
    progress: Progress = SILENT,
) -> VerificationReport:
    """Decode every frame with PyTorch from the library and with the artifact, and compare.

    source: the session's source frames, uint8 [N, H, W, 3], where available. progress: a unit is a
    frame. A VerificationError if the artifact is not of this library's session at all.
    """
    contract = decoder.contract
    check_origin(contract, library)
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    runners = [MaskedSessionRunner(library.session_weights(contract.session)), ArtifactRunner(decoder)]
    compared = Comparison(rule)
    against_source: list[tuple[float, float]] = []

    def compare(reference: Any, artifact: Any) -> dict[str, FrameParity]:
        index = len(compared.frames)
        pair = reference[OUTPUT_NAME][0], artifact[OUTPUT_NAME][0]
        found = compared.add(index, *pair, None if source is None else source[index])
        if source is not None:
            against_source.append((capped_psnr(pair[0], source[index]), capped_psnr(pair[1], source[index])))
        progress.advance()
        return {OUTPUT_NAME: found}

    progress.stage("verifying", len(decoder))
    for start in range(0, len(decoder), FRAMES_AT_ONCE):
        feed = [{INPUT_NAME: np.array([i])} for i in range(start, min(start + FRAMES_AT_ONCE, len(decoder)))]
        Comparator.compare_accuracy(Comparator.run(runners, data_loader=feed), compare_func=compare)
    frames = tuple(compared.frames)
    if len(frames) != len(decoder):
        raise VerificationError(f"{len(frames)} of {len(decoder)} frames were compared; the proof is not complete")
    summary = None
    if against_source:
        summary = SourceParity(*(float(np.mean(side)) for side in zip(*against_source, strict=True)))
    problems = tuple(compared.problems())
    return VerificationReport(contract, str(decoder.backend), rule, frames, summary, problems)


def check_origin(contract: ArtifactContract, library: Library) -> None:
    """A VerificationError unless the artifact was exported from this library's session, as it is now."""
    sessions = library.sessions
    name = contract.video.name
    if contract.session >= len(sessions):
        raise VerificationError(
            f"the artifact is session {contract.session} ({name}), and this library has {len(sessions)}; "
            "name the library it was exported from"
        )
    record = sessions[contract.session].record
    if record.weights_sha256 != contract.weights_sha256:
        raise VerificationError(
            f"the artifact's weights ({name}, {contract.weights_sha256[:16]}…) are not those of session "
            f"{contract.session} ({record.video.name}, {record.weights_sha256[:16]}…) of this library; "
            "export the session again, or name the library it was exported from"
        )
    if record.video != contract.video:
        raise VerificationError(
            f"the artifact says it is {_describe(contract.video)}, but session {contract.session} of this library "
            f"is {_describe(record.video)}; export the session again"
        )


def _describe(video: VideoRecord) -> str:
    return (
        f"{video.name!r}, {video.frames} frames of {video.width}x{video.height} at {video.fps} fps, "
        f"{video.sample_aspect} samples, {video.colour.matrix}, {video.colour.range} range, from {video.source!r}"
    )
