"""`pfnr-verify --suite`: prove a device by the conformance suite; needs neither torch nor a library."""

from __future__ import annotations

from pathlib import Path

import typer

from pfnr_runtime.commands.console import print_json
from pfnr_runtime.proof.suite import PASSED, Outcome, read_suite, run_suite
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.terminal import printable


def run_conformance(path: Path | None, backend: str, threads: int | None, json: bool) -> None:
    """Run the suite at `path`, or pfnr's, and print a table. Exits with 3 if a case fails."""
    outcomes = []
    for outcome in run_suite(read_suite(path), backend, threads):
        outcomes.append(outcome)
        if not json:
            print(printable(_line(outcome)), flush=True)
    failed = [outcome for outcome in outcomes if outcome.state != PASSED]
    if json:
        cases = [outcome.to_json() for outcome in outcomes]
        print_json({"passed": not failed, "backend": backend, "cases": cases})
    else:
        print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases passed")
    for outcome in failed:
        say(f"error: {outcome.name}: {outcome.text}")
    if failed:
        raise typer.Exit(3)


def _line(outcome: Outcome) -> str:
    largest = "unknown" if outcome.largest is None else f"{outcome.largest} of 255"
    frames = f"{outcome.identical} of {outcome.frames} frames identical, largest difference {largest}"
    return f"{outcome.name:<28} {outcome.precision:<13} {outcome.backend:<17} {outcome.state:<8} {frames}"
