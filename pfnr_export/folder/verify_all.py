"""Verifying a folder of exported sessions by its manifest, side by side: every file's bytes, then its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pfnr_export.folder.manifest import ExportedFile, read_manifest
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import PROVED
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.errors import PfnrError, VerificationError
from pfnr_runtime.proof.exact_check import check_exact
from pfnr_train.executors.base import Executor, Work
from pfnr_train.library.file import read_library
from pfnr_train.machine.threads import set_threads


@dataclass(frozen=True)
class VerifyTask:
    """One file to verify. library: of the sessions; None to take the digest of an exact file's frames."""

    folder: Path
    file: ExportedFile
    library: Path | None
    backend: str
    threads: int


def verify_all(
    folder: Path,
    library: Path | None,
    backend: str,
    executor: Executor,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """What is wrong, by file name: empty where its bytes and all its frames are right.

    library: to decode with PyTorch from; None to do so only for files whose precision is not exact, from the
    library that the manifest names.
    """
    manifest = read_manifest(folder)
    named = manifest.library_path(folder)
    usual = named.resolve() if named.is_file() else None
    for key, row in enumerate(manifest.files):
        against = library.resolve() if library is not None else None if row.precision in PROVED else usual
        task = VerifyTask(folder.resolve(), row, against, backend, 1)
        executor.submit(Work(key, verify_task, task))
    problems: dict[str, str] = {}
    while len(problems) < len(manifest.files):
        ended = executor.next(1.0)
        if ended is not None:
            problems[manifest.files[ended.key].file] = ended.error
            advance()
    return problems


def verify_task(task: VerifyTask) -> None:
    """Verify one file, in whatever worker; a PfnrError says what is wrong."""
    set_threads(task.threads)
    path = task.folder / task.file.file
    if not path.exists():
        raise VerificationError("it is missing; export the session again")
    if not task.file.is_there(task.folder):
        raise VerificationError("its bytes are not those that were exported; export the session again")
    with VideoDecoder(path, backend=task.backend, threads=task.threads) as decoder:
        if decoder.contract.weights_sha256 != task.file.weights_sha256:
            raise VerificationError("it is of another session than the manifest says")
        if task.library is None:
            if decoder.contract.exactness is None:
                raise PfnrError("its precision has no digest of its frames; name its library with `library`")
            problems = check_exact(decoder).problems
        else:
            from pfnr_export.parity.verify import verify_artifact  # torch takes a second to import

            problems = verify_artifact(decoder, read_library(task.library), rule_for(decoder.contract)).problems
    if problems:
        raise VerificationError(problems[0])
