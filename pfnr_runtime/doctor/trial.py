"""A decode of the built-in artifact on every engine, compared with the frames that PyTorch decoded from it.

`python -m pfnr_export.trial` writes both files: the artifact and its golden file.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.backends import backend_kinds, why_not_here
from pfnr_runtime.backends.base import BackendKind
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError
from pfnr_runtime.proof.golden_check import GoldenReport, check_golden

ARTIFACT = Path(__file__).with_name("trial.onnx")
# Not trial.golden: TensorRT refuses an engine that contradicts a golden file next to its artifact; here, wrong
# frames must be reported as such, not as an engine that does not run.
GOLDEN = Path(__file__).with_name("expected.golden")

RIGHT, WRONG, FAILED, MISSING = "right", "wrong", "failed", "missing"


@dataclass(frozen=True)
class Trial:
    """What one engine did.

    state: `RIGHT` or `WRONG` frames, `FAILED` (installed, but does not decode) or `MISSING`. text: in words.
    seconds: opening and decoding, None if it did not get that far.
    """

    backend: str
    state: str
    text: str
    seconds: float | None = None
    report: GoldenReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        golden = None if self.report is None else self.report.to_json()
        return {"state": self.state, "text": self.text, "seconds": self.seconds, "golden": golden}


def try_engines() -> tuple[Trial, ...]:
    """One trial of every backend."""
    return tuple(try_engine(kind) for kind in backend_kinds())


def try_engine(kind: BackendKind, artifact: Path = ARTIFACT, golden: Path = GOLDEN) -> Trial:
    """Decode `artifact` on one backend. Only the files themselves can raise (ArtifactError)."""
    if reason := why_not_here(kind):
        return Trial(kind.name, MISSING, reason)
    start = time.perf_counter()
    try:
        with VideoDecoder(artifact, backend=kind.name) as decoder:
            expected = read_golden(golden, decoder.contract)
            report = check_golden(decoder, expected, rule_for(decoder.contract))
            description = decoder.backend.description
    except BackendError as error:
        return Trial(kind.name, FAILED, str(error))
    except ImportError as error:  # PyAV, which reads the pictures to compare with
        return Trial(kind.name, FAILED, f"cannot be checked: {error}; pip install {error.name or 'av'}")
    seconds = time.perf_counter() - start
    if not report.passed:
        return Trial(kind.name, WRONG, f"{'; '.join(report.problems)}; {description}", seconds, report)
    video = expected.header
    equal = "all" if report.identical == report.frames else f"{report.identical} of them"
    text = (
        f"{report.frames} frames of {video.width}×{video.height}, {equal} byte for byte PyTorch's, "
        f"in {seconds:.2f} s; {description}"
    )
    return Trial(kind.name, RIGHT, text, seconds, report)
