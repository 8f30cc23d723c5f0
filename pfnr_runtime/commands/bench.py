"""pfnr-bench: how fast an exported video decodes here, compared with H.264 of the same frames."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import VERBOSE_HELP, make_app, print_json, reports_errors, run_app
from pfnr_runtime.commands.progress import SaidStages
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.progress import SILENT

app = make_app("Measure how an exported video decodes on this machine, next to the same frames as H.264.")


@app.command()
@reports_errors
def bench(
    artifact: Annotated[str, typer.Argument(help="The .onnx or .pfnv file that pfnr-export wrote.")],
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Index or name, for a shared graph.", show_default=False)
    ] = None,
    backend: Annotated[str, typer.Option(help="One inference engine by name, or all installed ones.")] = "all",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads, for the engine and for H.264.", show_default="all available")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Duration of each measurement; at least three runs.")] = 3.0,
    batches: Annotated[str, typer.Option(help="Batch sizes to measure; empty for none.")] = "1,2,4",
    cold_starts: Annotated[int, typer.Option(help="Processes started for the cold start, 1 to 100.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help=VERBOSE_HELP)] = False,
) -> None:
    """Measure ARTIFACT: cold start, frames in order, at random and in batches, memory, energy."""
    from pfnr_runtime.bench.engines import Asked
    from pfnr_runtime.bench.report import run

    asked = Asked(artifact, session, threads, seconds, _parse_batches(batches), cold_starts)
    result = run(asked, backend, SILENT if quiet else SaidStages())
    if as_json:
        print_json(result)
    else:
        _print(result, verbose)


def _parse_batches(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--batches {text!r}: write numbers, such as 1,2,4") from None


def _print(result: dict[str, object], verbose: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pfnr_runtime.bench.report import columns, notes, rows, title

    contenders = columns(result)
    table = Table("", *contenders, box=box.SIMPLE_HEAD)
    for label, text in rows():
        cells = [text(figures) for figures in contenders.values()]
        if any(cells):
            table.add_row(label, *cells)
    print(title(result))
    Console(width=None if Console().is_terminal else 40 + 60 * len(contenders), highlight=False).print(table)
    for note in notes(result, verbose):
        print(note)


def main() -> None:
    """Entry point of pfnr-bench."""
    run_app(app)


if __name__ == "__main__":
    main()
