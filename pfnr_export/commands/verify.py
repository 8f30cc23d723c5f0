"""`pfnr-verify`: prove that an artifact decodes what PyTorch decodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pfnr_export.commands.verify_exact import run_exact
from pfnr_export.commands.verify_golden import run_golden
from pfnr_export.commands.verify_suite import run_conformance
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.artifact.golden import SUFFIX
from pfnr_runtime.artifact.open import examine_artifact
from pfnr_runtime.artifact.parity import ParityRule, StepRule, rule_for
from pfnr_runtime.artifact.sidecar import list_sidecars
from pfnr_runtime.commands.console import make_app, print_json, reports_errors
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_train.library.default_path import default_library_path

if TYPE_CHECKING:
    from pfnr_export.parity.verify import VerificationReport

app = make_app("Verify an artifact against the library it was exported from.")


@app.command()
@reports_errors
def verify(
    artifact: Annotated[
        Path | None,
        typer.Argument(
            help="The file, or a folder of them; with --suite, another suite.", show_default=False, readable=False
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            "--library", "-l", help="The library.", show_default="$PFNR_LIBRARY or library.pfnr", readable=False
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Index or name, for a shared graph.", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Verify every session found next to a shared graph.")
    ] = False,
    golden: Annotated[
        Path | None,
        typer.Option(
            help="Golden file to verify against.",
            show_default="next to the artifact, if present",
            readable=False,
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Compare the digest of all frames with the artifact's; needs neither torch nor the library.",
            show_default="for an exact artifact where there is no library",
        ),
    ] = False,
    suite: Annotated[
        bool,
        typer.Option(
            "--suite",
            help="Prove this device: decode tiny artifacts of every kind; needs no torch.",
        ),
    ] = False,
    source: Annotated[
        Path | None, typer.Option(help="Source clip, to compare with as well.", readable=False)
    ] = None,
    backend: Annotated[str, typer.Option(help="Engine to verify on.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all")] = None,
    max_step: Annotated[int | None, typer.Option(help="Largest difference allowed, in steps of 255.")] = None,
    max_fraction: Annotated[
        float | None, typer.Option(help="Largest fraction of samples that may differ.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Of a folder: work on so many files at a time.", show_default="1")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Of a folder: work on a Ray cluster.", show_default=False, metavar="ADDRESS"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Decode every frame with PyTorch and with ARTIFACT, and compare. Exits with 0 or 3.

    If a .golden file lies next to the artifact and no library is named, that file replaces PyTorch: neither torch
    nor the library is needed. An exact artifact replaces it by the digest of its frames. Of a folder that
    `pfnr-export --out-dir` wrote, every file is verified. --suite needs no artifact.
    """
    others = (library, golden, source, max_step, max_fraction)
    if suite:
        if exact or every or any(given is not None for given in (*others, session, jobs, ray)):
            raise UsageError("--suite takes --backend, --threads and --json, and nothing else")
        run_conformance(artifact, backend, threads, json)
        return
    if artifact is None:
        raise UsageError("name the exported file to verify, or --suite to prove this device")
    if artifact.is_dir():
        given = (session, golden, source, max_step, max_fraction, threads)
        if every or exact or any(value is not None for value in given):
            raise UsageError("a folder takes --library, --backend, --jobs and --ray; the rest is for one file")
        from pfnr_export.commands.verify_folder import run_folder  # imports torch

        run_folder(artifact, library, backend, jobs, ray, json)
        return
    if jobs is not None or ray is not None:
        raise UsageError("--jobs and --ray are for a folder of exported files")
    if exact and (every or any(given is not None for given in others)):
        raise UsageError("--exact needs the artifact alone: leave out every other source of proof, and limits")
    if exact or (not (every or any(given is not None for given in others)) and _proves_itself(artifact)):
        with VideoDecoder(artifact, session=session, backend=backend, threads=threads) as decoder:
            run_exact(decoder, artifact, json)
        return
    if golden is None and library is None and source is None and session is None and not every:
        beside = artifact.with_suffix(SUFFIX)
        golden = beside if beside.exists() else None
    if golden is not None:
        if library is not None or source is not None or every:
            raise UsageError("--golden replaces the library: leave out --library, --source and --all")
        with VideoDecoder(artifact, session=session, backend=backend, threads=threads) as decoder:
            run_golden(decoder, artifact, golden, _rule(decoder, max_step, max_fraction), json)
        return
    # torch takes a second to import: `--help` and usage errors avoid it.
    from pfnr_export.parity.verify import verify_artifact
    from pfnr_train.evaluation.sources import source_frames
    from pfnr_train.library.file import read_library
    from pfnr_train.machine.threads import set_threads

    if every and (session is not None or source is not None):
        raise UsageError("--all cannot be combined with --session or --source, which name one video")
    set_threads(threads)
    path = library or default_library_path()
    if every:
        session = next(map(str, list_sidecars(artifact)), None)
    reports = []
    with VideoDecoder(artifact, session=session, backend=backend, threads=threads) as decoder:
        rule = _rule(decoder, max_step, max_fraction)
        opened = read_library(path)
        for index in decoder.sessions if every else (decoder.contract.session,):
            if index != decoder.contract.session:
                decoder.switch(index)
            clip = None
            if source is not None and index < len(opened.sessions):
                clip = source_frames(opened.sessions[index].record, path, source)
            with Bar() as bar:
                reports.append(verify_artifact(decoder, opened, rule, clip, bar))
            if not json:
                _print_report(reports[-1], artifact)
    about = {"artifact": str(artifact), "library": str(path)}
    if json and every:
        passed = all(report.passed for report in reports)
        print_json(about | {"passed": passed, "sessions": [report.to_json() for report in reports]})
    elif json:
        print_json(reports[0].to_json() | about)
    for report in reports:
        for problem in report.problems:
            which = f"session {report.contract.session}: " if every else ""
            say(f"error: {artifact}: {which}{problem}")
    if not all(report.passed for report in reports):
        raise typer.Exit(3)


def _proves_itself(artifact: Path) -> bool:
    """Whether an artifact is exact, and neither a golden file nor a library is where one would be found."""
    if artifact.with_suffix(SUFFIX).exists() or default_library_path().exists():
        return False
    contract = examine_artifact(artifact).contract
    return isinstance(contract, ArtifactContract) and contract.exactness is not None


def _rule(decoder: VideoDecoder, max_step: int | None, max_fraction: float | None) -> ParityRule:
    rule = rule_for(decoder.contract)
    if max_step is None and max_fraction is None:
        return rule
    if not isinstance(rule, StepRule):
        raise UsageError(
            f"--max-step and --max-fraction are for fp32; {decoder.contract.precision} has a PSNR budget instead"
        )
    return replace(
        rule,
        max_step=rule.max_step if max_step is None else max_step,
        max_fraction=rule.max_fraction if max_fraction is None else max_fraction,
    )


def _print_report(report: VerificationReport, artifact: Path) -> None:
    from rich.table import Table  # which a playback install lacks

    from pfnr_train.commands.results import results_console

    table = Table(show_header=False, box=None)
    video = report.contract.video
    table.add_row("artifact", f"{artifact}: session {report.contract.session} ({video.name})")
    table.add_row(
        "compared", f"{len(report.frames)} frames of {video.width}x{video.height}, PyTorch against the file"
    )
    table.add_row("engine", report.backend.splitlines()[0])
    table.add_row("largest difference", f"{report.largest} of 255")
    table.add_row(
        "differing samples",
        f"{report.differing:,} of {report.samples:,} ({report.differing / report.samples:.2g}), "
        f"{sum(f.differing == 0 for f in report.frames)} of {len(report.frames)} frames identical",
    )
    table.add_row("PSNR between them", "identical" if report.differing == 0 else f"{report.psnr:.2f} dB")
    if report.source is not None:
        table.add_row(
            "PSNR against the source",
            f"PyTorch {report.source.reference_psnr:.4f} dB, file {report.source.artifact_psnr:.4f} dB",
        )
    table.add_row("rule", report.rule.sentence())
    table.add_row("verdict", report.rule.claim if report.passed else f"NOT {report.rule.claim}")
    results_console().print(table)
