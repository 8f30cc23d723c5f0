"""`pfnr-verify` with a golden file: needs only the runtime and an engine, not torch or the library."""

from __future__ import annotations

from pathlib import Path

import typer

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.parity import ParityRule
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.proof.golden_check import GoldenReport, check_golden
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.terminal import printable


def run_golden(decoder: VideoDecoder, artifact: Path, path: Path, rule: ParityRule, json: bool) -> None:
    """Check the open artifact against the golden file at `path` and print the report. Exits with 3 if it fails."""
    golden = read_golden(path, decoder.contract)
    with Bar() as bar:
        report = check_golden(decoder, golden, rule, bar)
    if json:
        about = {"artifact": str(artifact), "golden": str(path), "name": decoder.metadata.name}
        print_json(report.to_json() | about | {"precision": decoder.contract.precision})
    else:
        for label, text in _lines(decoder, report, artifact, path):
            print(f"{label:<20} {printable(text)}")
    for problem in report.problems:
        say(f"error: {artifact}: {problem}")
    if not report.passed:
        raise typer.Exit(3)


def _lines(decoder: VideoDecoder, report: GoldenReport, artifact: Path, path: Path) -> list[tuple[str, str]]:
    video, psnr = decoder.metadata, report.psnr
    between = "no whole frame to measure it" if psnr is None else f"at least {psnr:.2f} dB"
    numbers = ", ".join(str(frame.frame) for frame in report.whole) or "none"
    return [
        ("artifact", f"{artifact}: {video.name}, {decoder.contract.precision}"),
        (
            "golden file",
            f"{path}: {report.frames} frames of {video.width}x{video.height}, as PyTorch decodes",
        ),
        ("engine", report.backend.splitlines()[0]),
        ("identical frames", f"{report.identical} of {report.frames}"),
        ("whole frames", numbers),
        ("largest difference", "unknown" if report.largest is None else f"{report.largest} of 255"),
        ("PSNR between them", "identical" if psnr == float("inf") else between),
        ("other frames", f"{report.bounded} checked by block sums, {len(report.refuted)} refuted"),
        ("rule", report.rule.sentence()),
        ("verdict", report.rule.claim if report.passed else f"NOT {report.rule.claim}"),
    ]
