"""pfnr-inspect: what an artifact says about itself and what it is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import make_app, print_json, reports_errors, run_app
from pfnr_runtime.system.terminal import printable

app = make_app("Show what an exported video contains; no inference engine is needed.")


@app.command()
@reports_errors
def inspect(
    artifact: Annotated[str, typer.Argument(help="The .onnx or .pfnv file that pfnr-export wrote.")],
    session: Annotated[
        str | None,
        typer.Option(
            "--session", "-s", help="One session of a shared graph, by index or name.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON on stdout.")] = False,
) -> None:
    """Show the contract, inputs and outputs, operators, weights, size and digest of ARTIFACT; for a shared graph
    also the sessions next to it, and whether each fits.
    """
    from pfnr_runtime.artifact.describe import lines, report
    from pfnr_runtime.artifact.open import examine_artifact, open_artifact

    opened = examine_artifact(artifact) if session is None else open_artifact(artifact, session)
    if as_json:
        print_json(report(opened))
        return
    for label, text in lines(opened):
        print(f"{label:<10}{printable(text)}")


def main() -> None:
    """Entry point of pfnr-inspect."""
    run_app(app)


if __name__ == "__main__":
    main()
