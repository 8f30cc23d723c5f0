"""pfnr-doctor: which engines are installed, which are missing, and whether they decode correctly."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import make_app, print_json, reports_errors, run_app

app = make_app("Show what this machine has for playing videos, and try every engine on a small built-in one.")


@app.command()
@reports_errors
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON on stdout.")] = False,
) -> None:
    """Show what this machine has for playing videos, and try every engine on a small built-in one.

    Exit code 0: an engine decodes correctly; 3: one decodes wrongly; 4: none decodes."""
    from pfnr_runtime.doctor.report import examine, lines

    findings = examine()
    if as_json:
        print_json(findings.to_json())
    else:
        for label, text in lines(findings):
            print(f"{label:<11}{text}")
    if findings.exit_code:
        raise typer.Exit(findings.exit_code)


def main() -> None:
    """Entry point of pfnr-doctor."""
    run_app(app)


if __name__ == "__main__":
    main()
