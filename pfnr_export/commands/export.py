"""`pfnr-export`: write one session of a library as an ONNX decoder, or several as a shared graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_export.checks import CHECKS, say_checks
from pfnr_export.commands.export_folder import SUFFIXES, run_folder
from pfnr_export.commands.export_shared import run_shared
from pfnr_export.commands.unpack import run_unpack
from pfnr_export.continuous_time import FRAMES, TIME_KINDS
from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.lowerings.budget import parse_budget
from pfnr_export.precisions import AUTO, PRECISIONS
from pfnr_export.precisions.summary import summary
from pfnr_export.shared.build import PRECISION, SharedOptions
from pfnr_export.source import find_source
from pfnr_runtime.artifact.contract import OUTPUT_KINDS
from pfnr_runtime.artifact.describe import size
from pfnr_runtime.artifact.golden import SUFFIX as GOLDEN
from pfnr_runtime.artifact.golden import WHOLE_FRAMES
from pfnr_runtime.artifact.packed.signature import SUFFIX as PACKED
from pfnr_runtime.commands.console import make_app, print_json, reports_errors
from pfnr_runtime.commands.progress import SaidStages
from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.own_files import LIBRARY, STATE, own_kind
from pfnr_train.commands.options import JobsOption, JsonOption, LibraryOption, RayOption
from pfnr_train.library.file import read_library

app = make_app("Export a session of a library as an ONNX decoder.")
_DEFAULT = ExportOptions()


@app.command()
@reports_errors
def export(
    library: LibraryOption,
    packed: Annotated[
        Path | None,
        typer.Argument(help="A packed video (.pfnv) to unpack into its .onnx.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write: .onnx, or .pfnv for a packed video.", show_default=False
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Index or name of the session.", show_default=False)
    ] = None,
    shared: Annotated[
        bool,
        typer.Option("--shared", help="One graph for several sessions, with a sidecar file next to it for each."),
    ] = False,
    sessions: Annotated[
        str | None,
        typer.Option(help="Of --shared or --out-dir: all, or indices or names such as 0,2,5.", show_default="all"),
    ] = None,
    fourier: Annotated[
        str, typer.Option(help=f"Lowering of the Fourier block: {', '.join((AUTO, *LOWERINGS))}.")
    ] = _DEFAULT.fourier,
    spatial_budget: Annotated[
        str | None,
        typer.Option(help="Limit for the spatial lowering.", show_default=str(_DEFAULT.spatial_budget)),
    ] = None,
    time: Annotated[
        str,
        typer.Option(
            help=f"{' or '.join(TIME_KINDS)}: whole frames alone, or any time of the video (slow motion)."
        ),
    ] = _DEFAULT.time,
    precision: Annotated[
        str,
        typer.Option(help=f"One of {', '.join(PRECISIONS)}; {AUTO} is exact where that can be proved, else fp32."),
    ] = _DEFAULT.precision,
    frames: Annotated[str, typer.Option(help=f"Type of the output: {', '.join(OUTPUT_KINDS)}.")] = _DEFAULT.output,
    psnr_budget: Annotated[
        float | None,
        typer.Option(
            help="Most PSNR in dB that a lower precision may cost any frame.",
            show_default=", ".join(f"{p.budget:g} for {p.name}" for p in PRECISIONS.values() if p.budget),
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Source clip, to measure the loss against.",
            show_default="the path stored in the library",
            readable=False,
        ),
    ] = None,
    calibration_frames: Annotated[
        int | None, typer.Option(help="Evenly spaced frames that set int8 ranges.", show_default="all")
    ] = None,
    golden: Annotated[
        bool,
        typer.Option(
            "--golden", help="Write a .golden file next to each video, for pfnr-verify without the library."
        ),
    ] = False,
    golden_frames: Annotated[int, typer.Option(help="Whole frames in the golden file.")] = WHOLE_FRAMES,
    check: Annotated[
        list[str] | None,
        typer.Option(help=f"Check the file before it is written: {', '.join(CHECKS)}; may be repeated."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(help="Export --sessions into this folder, a file each, with a manifest.", show_default=False),
    ] = None,
    suffix: Annotated[str, typer.Option(help=f"With --out-dir: {' or '.join(SUFFIXES)}.")] = PACKED,
    jobs: JobsOption = None,
    ray: RayOption = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="NVIDIA Triton model repository to put the session into.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Export a session of a library as an ONNX decoder or a packed video, or several as one shared graph.

    `pfnr-export v5.pfnv -o v5.onnx` unpacks a packed video into its .onnx, byte for byte. `pfnr-export --sessions
    all --out-dir DIR` exports every session; those that are in DIR and unchanged are left alone.
    """
    if packed is not None:
        if shared or session is not None or sessions is not None or output is None:
            raise UsageError(f"a packed video takes only --output: pfnr-export {packed} -o v5.onnx")
        _check_output(output, packed)
        run_unpack(packed, output, json)
        return
    if shared and (session is not None or precision not in (AUTO, PRECISION) or spatial_budget is not None):
        raise UsageError(f"--shared takes --sessions, not --session, and only --precision {PRECISION}")
    if not shared and out_dir is None and (session is None or sessions is not None):
        raise UsageError("name one session with --session, or several with --shared --sessions 0,2,5")
    budget = _DEFAULT.spatial_budget if spatial_budget is None else parse_budget(spatial_budget)
    options = ExportOptions(
        fourier,
        precision,
        frames,
        budget,
        checks=tuple(check or ()),
        psnr_budget=psnr_budget,
        calibration_frames=calibration_frames,
        time=time,
    )
    if out_dir is not None:
        if (
            shared
            or session is not None
            or output is not None
            or golden
            or triton is not None
            or source is not None
        ):
            raise UsageError("--out-dir takes --sessions and how to export them, and no other file or folder")
        run_folder(library, sessions or "all", out_dir, suffix, options, jobs, ray, json)
        return
    if jobs is not None or ray is not None:
        raise UsageError("--jobs and --ray export many sessions; name their folder with --out-dir")
    if shared and time != FRAMES:
        raise UsageError(
            f"--time {time} needs --session: it would put the stem's first layer into the shared graph, while "
            "its sessions' tables replace it; export the session alone"
        )
    if shared and output is not None and output.suffix == PACKED:
        raise UsageError(f"{output}: a packed video holds one session; choose it with --session, without --shared")
    if shared and triton is not None:
        raise UsageError("--triton takes one session; choose it with --session, without --shared")
    if output is not None:
        _check_output(output, library, source)
        if golden and not shared and output.suffix == GOLDEN:
            raise UsageError(
                f"{output} is what the golden file will be called; choose another name, such as v.onnx"
            )
    elif triton is None or golden:
        raise UsageError("name the file to write, such as --output v.onnx")
    opened = read_library(library)
    if session is None:
        assert output is not None
        whole = golden_frames if golden else None
        run_shared(opened, sessions or "all", output, SharedOptions(fourier, frames, options.checks), json, whole)
        return
    index = opened.find(session)
    clip = find_source(opened.sessions[index].record, library, precision, source)
    done = export_session(
        opened, index, output, options, clip, SaidStages(), golden_frames if golden else None, triton
    )
    video = done.contract.video
    if json:
        print_json(
            {
                "artifact": None if output is None else str(output),
                "bytes": done.file_bytes,
                "weight_bytes": done.weight_bytes,
                "session": done.contract.session,
                "name": video.name,
                "precision": done.contract.precision,
                "lowering": done.contract.lowering,
                "passes": list(done.contract.passes),
                "time": time,
                "checks": done.checks,
                "triton": None if done.triton is None else done.triton.to_json(),
                "precision_report": done.contract.precision_report,
                "exactness": None if done.contract.exactness is None else done.contract.exactness.to_json(),
                "golden": None if done.golden is None else str(done.golden),
            }
        )
        return
    say_checks(done.checks)
    kind = "" if time == FRAMES else f"{time} time, "
    print(
        f"session {done.contract.session} ({video.name}): {video.frames} frames of {video.width}x{video.height}, "
        f"{done.contract.precision}, {done.contract.lowering} lowering, {kind}{size(done.file_bytes)}"
        + ("" if output is None else f" -> {output}")
    )
    if done.triton is not None:
        print(done.triton.sentence())
    if done.contract.exactness is not None:
        print(done.contract.exactness.sentence())
    for line in summary(done.contract.precision_report):
        print(line)
    if done.golden is not None:
        print(f"golden file -> {done.golden}")


def _check_output(output: Path, *inputs: Path | None) -> None:
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file in it, such as {output / 'v.onnx'}")
    same = any(path is not None and path.exists() and output.samefile(path) for path in inputs if output.exists())
    if same or output.suffix == ".pfnr" or own_kind(output) in (LIBRARY, STATE):
        raise UsageError(
            f"{output} is the input, or a library; choose another name for the artifact, such as v.onnx"
        )
    if not output.parent.is_dir():
        raise PfnrError(
            f"{output}: folder {output.parent} does not exist; make it first: mkdir -p {output.parent}"
        )
