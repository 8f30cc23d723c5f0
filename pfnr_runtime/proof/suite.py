"""The conformance suite: tiny artifacts of every kind and PyTorch's frames of them, to prove a device with.

A folder with `suite.json` and the files that it names, all in that folder:

    {"format_version": 1, "cases": [{"name", "file", "session", "golden", "md5"}, ...]}

session: of a shared graph, else null. golden: the golden file, of what PyTorch decodes. md5: of each frame, uint8
[H, W, 3] RGB, as PyTorch decodes it, or as an exact artifact defines it. An exact artifact must give these bytes;
any other must keep to the rule of its precision, as `pfnr_runtime.artifact.parity` derives it from the file.
`python -m pfnr_export.conformance` writes the suite that comes with this package.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.backends import backend_kinds, why_not_here
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import ArtifactError, BackendError, PfnrError, UsageError
from pfnr_runtime.proof.golden_check import check_golden
from pfnr_runtime.system.regular_file import require_regular

FOLDER = Path(__file__).parents[1] / "conformance"
SUITE, FORMAT_VERSION = "suite.json", 1
MOST_BYTES, MOST_CASES = 1 << 20, 1000
PASSED, FAILED, REFUSED = "passed", "FAILED", "does not open"


@dataclass(frozen=True)
class Case:
    """One line of a suite; see the module."""

    name: str
    file: Path
    session: int | None
    golden: Path
    md5: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What one backend made of one case.

    - state: `PASSED`, `FAILED` or `REFUSED`. text: why it did not pass, else the rule that was kept.
    - identical: frames with the reference's bytes, of `frames`.
    - largest: difference in steps of 255, None where it is not known.
    """

    name: str
    precision: str
    backend: str
    state: str
    text: str
    identical: int = 0
    frames: int = 0
    largest: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def frame_md5(frame: NDArray[np.uint8]) -> str:
    """MD5 in hex of a frame's samples."""
    return hashlib.md5(np.ascontiguousarray(frame).data, usedforsecurity=False).hexdigest()


def read_suite(path: Path | None = None) -> tuple[Case, ...]:
    """The cases of a suite: its file, its folder, or by default the one that comes with this package.

    An ArtifactError says what is wrong with it.
    """
    path = FOLDER if path is None else path
    path = path / SUITE if path.is_dir() else path
    try:
        if require_regular(path) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES} bytes")
        document = json.loads(path.read_bytes())
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {document['format_version']}, and this pfnr reads {FORMAT_VERSION}")
        found = document["cases"]
        if not isinstance(found, list) or not 1 <= len(found) <= MOST_CASES:
            raise ValueError(f"it needs 1 to {MOST_CASES} cases")
        return tuple(_case(value, path.parent) for value in found)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); name a suite.json") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a conformance suite, or damaged ({str(error)[:200]})") from None


def _case(value: Any, folder: Path) -> Case:
    name, session, md5 = value["name"], value["session"], value["md5"]
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,80}", name, re.ASCII):
        raise ValueError(f"{name!r} is no name of a case")
    if session is not None and (type(session) is not int or session < 0):
        raise ValueError(f"session {session!r} of {name}")
    if not isinstance(md5, list) or not all(isinstance(m, str) and re.fullmatch("[0-9a-f]{32}", m) for m in md5):
        raise ValueError(f"{name} without digests of its frames")
    return Case(name, _in_folder(value["file"], folder), session, _in_folder(value["golden"], folder), tuple(md5))


def _in_folder(name: Any, folder: Path) -> Path:
    """A file next to the suite, never anywhere else."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]{0,80}", name, re.ASCII):
        raise ValueError(f"{name!r} is no name of a file")
    return folder / name


def run_suite(cases: tuple[Case, ...], backend: str = "auto", threads: int | None = None) -> Iterator[Outcome]:
    """The outcome of every case in turn; a BackendError or UsageError where the backend does not exist here."""
    kinds = {kind.name: kind for kind in backend_kinds()}
    if backend != "auto" and backend not in kinds:
        raise UsageError(f"no backend is called {backend!r}; choose auto, {', '.join(kinds)}")
    if backend != "auto" and (reason := why_not_here(kinds[backend])):
        raise BackendError(f"{backend}: {reason}")
    for case in cases:
        try:
            yield _run(case, backend, threads)
        except PfnrError as error:
            yield Outcome(case.name, "", backend, REFUSED, str(error))


def _run(case: Case, backend: str, threads: int | None) -> Outcome:
    with VideoDecoder(case.file, session=case.session, backend=backend, threads=threads) as decoder:
        contract = decoder.contract
        golden, rule = read_golden(case.golden, contract), rule_for(contract)
        report = check_golden(decoder, golden, rule)
        same = [frame_md5(frame.data) == md5 for frame, md5 in zip(decoder, case.md5, strict=False)]
        problems = list(report.problems)
        if len(decoder) != len(case.md5):
            problems.append(f"{len(decoder)} frames where the suite has {len(case.md5)}")
        if contract.exactness is not None and not all(same):
            problems.append(f"{same.count(False)} frames of other bytes, of a video that is exact")
        return Outcome(
            case.name,
            contract.precision,
            decoder.backend.name,
            FAILED if problems else PASSED,
            "; ".join(problems) or rule.sentence(),
            same.count(True),
            len(decoder),
            report.largest,
        )
