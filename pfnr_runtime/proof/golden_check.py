"""Checking an artifact against its golden file: parity on the playing machine, with its own engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pfnr_runtime.artifact.golden import Golden, block_edges, block_sums, frame_digest
from pfnr_runtime.artifact.parity import Comparison, FrameParity, ParityRule, finite
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.system.progress import SILENT, Progress


@dataclass(frozen=True)
class GoldenReport:
    """The outcome of a golden check.

    - identical: frames with the reference's digest.
    - whole: the frames compared sample by sample.
    - bounded: frames checked by sums of blocks alone.
    - refuted: those of them that cannot satisfy the rule.
    - problems: empty if the golden file shows no violation.
    """

    backend: str
    rule: ParityRule
    frames: int
    identical: int
    whole: tuple[FrameParity, ...]
    bounded: int
    refuted: tuple[int, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    @property
    def largest(self) -> int | None:
        """Largest difference on the whole frames in steps of 255, None without any."""
        return max((f.largest for f in self.whole), default=None)

    @property
    def psnr(self) -> float | None:
        """Lowest PSNR of a whole frame in dB, inf if all are equal, None without any."""
        return min((f.psnr for f in self.whole), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; the PSNR of equal frames is null."""
        return {
            "passed": self.passed,
            "problems": list(self.problems),
            "backend": self.backend,
            "rule": self.rule.to_json(),
            "frames": self.frames,
            "identical_frames": self.identical,
            "largest_difference": self.largest,
            "psnr_between": finite(self.psnr),
            "bounded_frames": self.bounded,
            "refuted_frames": list(self.refuted),
            "whole_frames": [f.to_json() for f in self.whole],
        }


def check_golden(
    decoder: VideoDecoder,
    golden: Golden,
    rule: ParityRule,
    progress: Progress = SILENT,
) -> GoldenReport:
    """Decode every frame and compare it with the golden file.

    A frame with the reference's digest is equal. A frame stored whole is compared sample by sample under the rule.
    Any other is refuted if its block sums differ from the reference's by more than the rule allows.
    """
    video = decoder.metadata
    heights, widths = (
        np.diff([*edges, side])
        for edges, side in zip(block_edges(video.height, video.width), (video.height, video.width), strict=True)
    )
    counts = (heights[:, None] * widths[None, :])[..., None]
    samples = video.height * video.width * 3
    identical, bounded, refuted, whole = 0, 0, [], Comparison(rule)
    progress.stage("verifying", len(decoder))
    for frame in decoder:
        same = frame_digest(frame.data) == golden.header.sha256[frame.index]
        identical += same
        if frame.index in golden.whole:
            whole.add(frame.index, golden.whole[frame.index], frame.data)
        elif not same:
            bounded += 1
            difference = block_sums(frame.data).astype(np.int64) - golden.blocks[frame.index]
            least_sum = int(np.abs(difference).sum())
            least_squares = float((difference**2 / counts).sum())
            if not rule.allows(frame.index, samples, least_sum, least_squares):
                refuted.append(frame.index)
        progress.advance()
    problems = whole.problems()
    if refuted:
        problems.append(
            f"{len(refuted)} more frames differ from PyTorch's by more than the rule allows, by their block "
            f"sums; the first is frame {refuted[0]}"
        )
    return GoldenReport(
        str(decoder.backend),
        rule,
        len(decoder),
        identical,
        tuple(whole.frames),
        bounded,
        tuple(refuted),
        tuple(problems),
    )
