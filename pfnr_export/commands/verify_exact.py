"""`pfnr-verify` by digest: an exact artifact proves itself, without torch, the library or a golden file."""

from __future__ import annotations

from pathlib import Path

import typer

from pfnr_runtime import VideoDecoder
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.proof.exact_check import check_exact
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.terminal import printable


def run_exact(decoder: VideoDecoder, artifact: Path, json: bool) -> None:
    """Decode all frames of the open artifact, compare their digest, print the report. Exits with 3 if it fails."""
    with Bar() as bar:
        report = check_exact(decoder, bar)
    video = decoder.metadata
    if json:
        print_json(
            report.to_json()
            | {"artifact": str(artifact), "name": video.name, "precision": decoder.contract.precision}
        )
    else:
        for label, text in (
            ("artifact", f"{artifact}: {video.name}, {decoder.contract.precision}"),
            ("engine", report.backend.splitlines()[0]),
            ("frames", f"{report.frames} of {video.width}x{video.height}"),
            ("SHA-256 of frames", report.found),
            ("as PyTorch's", report.expected.frames_sha256),
            ("verdict", "the same bytes" if report.passed else "NOT the same bytes"),
        ):
            print(f"{label:<20} {printable(text)}")
    for problem in report.problems:
        say(f"error: {artifact}: {problem}")
    if not report.passed:
        raise typer.Exit(3)
