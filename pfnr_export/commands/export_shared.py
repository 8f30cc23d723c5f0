"""`pfnr-export --shared`: sessions of a library as one graph and a sidecar each."""

from __future__ import annotations

from pathlib import Path

from pfnr_export.checks import say_checks
from pfnr_export.shared.build import PRECISION, SharedOptions
from pfnr_export.shared.export_shared import ExportedSidecar, SharedExport, export_shared
from pfnr_runtime.artifact.golden import SUFFIX, check_whole, make_golden, write_golden
from pfnr_runtime.artifact.sidecar import read_record
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_train.library.library import Library
from pfnr_train.model.decode import decode_frames


def find_sessions(library: Library, text: str) -> list[int]:
    """'all', or comma-separated indices and names, as sorted indices without repeats."""
    if text.strip() == "all":
        return list(range(len(library.sessions)))
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"--sessions {text!r} is neither all nor a list such as 0,2,5")
    return sorted({library.find(part) for part in parts})


def run_shared(
    library: Library, sessions: str, output: Path, options: SharedOptions, json: bool, golden_frames: int | None
) -> None:
    """Export, and report what was written and which files a device with the previous export needs.

    golden_frames: also write a golden file next to each sidecar, with so many frames whole.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a shared graph is named *.onnx, its sidecars after it: library.onnx")
    if golden_frames is not None:
        check_whole(golden_frames)
    done = export_shared(library, find_sessions(library, sessions), output, options)
    golden = [] if golden_frames is None else [_write_golden(library, s, golden_frames) for s in done.sidecars]
    if json:
        print_json(_as_json(done) | {"golden": [str(path) for path in golden]})
        return
    _print_text(done)
    for path in golden:
        print(f"golden file -> {path}")


def _write_golden(library: Library, sidecar: ExportedSidecar, whole: int) -> Path:
    """Write a session's golden file next to its sidecar."""
    contract, path = read_record(sidecar.path).contract, sidecar.path.with_suffix(SUFFIX)
    say(f"golden file of session {sidecar.session}: PyTorch decodes {contract.video.frames} frames")
    pictures = (frame for batch in decode_frames(library.session_weights(sidecar.session)) for frame in batch)
    write_golden(make_golden(pictures, contract, whole), path)
    return path


def _as_json(done: SharedExport) -> dict[str, object]:
    return {
        "graph": str(done.path),
        "state": done.graph,
        "needed": done.sentence(),
        "graph_sha256": done.contract.graph_sha256,
        "bytes": done.file_bytes,
        "precision": done.contract.precision,
        "lowering": done.contract.lowering,
        "passes": list(done.contract.passes),
        "checks": done.checks,
        "sidecars": [
            {
                "session": s.session,
                "name": s.name,
                "path": str(s.path),
                "bytes": s.file_bytes,
                "written": s.written,
                "new_weights": s.added,
            }
            for s in done.sidecars
        ],
    }


def _print_text(done: SharedExport) -> None:
    video = done.contract
    say_checks(done.checks)
    print(
        f"shared graph ({done.graph}): {video.width}x{video.height}, {PRECISION}, {video.lowering} lowering, "
        f"{done.file_bytes / 1e6:.2f} MB -> {done.path}"
    )
    for s in done.sidecars:
        state = "" if s.written else ", unchanged"
        print(
            f"session {s.session} ({s.name}): {s.added:,} weights that no earlier session uses, "
            f"{s.file_bytes / 1e6:.3f} MB{state} -> {s.path}"
        )
    print(done.sentence())
