"""pfnr-web: exported videos as a folder of static files that any browser plays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfnr_runtime.artifact.describe import size
from pfnr_runtime.commands.console import make_app, print_json, reports_errors, run_app
from pfnr_runtime.system.messages import say
from pfnr_runtime.web.site import write_site

app = make_app("A page that plays exported videos in any browser, decoded there: pfnr-web v5.pfnv -o site")


@app.command()
@reports_errors
def web(
    artifacts: Annotated[
        list[Path],
        typer.Argument(help="The .pfnv or .onnx files that pfnr-export wrote.", readable=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder to write; new, or one that pfnr-web wrote.", show_default=False
        ),
    ],
    webgpu: Annotated[bool, typer.Option(help="Bring the engine for GPUs too, 27 MB more on the server.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Write the page for ARTIFACTS into a folder: HTML, JavaScript, the videos and onnxruntime-web."""
    site = write_site(artifacts, output, webgpu=webgpu, say=(lambda text: None) if quiet else say)
    found = site.to_json()
    if as_json:
        print_json(found)
        return
    videos = sum(found["videos"].values())
    print(
        f"{output}: {', '.join(site.videos)} ({size(videos)}), page {size(found['page_bytes'])}, "
        f"engine {size(found['engine_bytes'])}"
    )
    if not quiet:
        say(f"try it: python3 -m http.server -d {output} 8000, then open http://localhost:8000/")


def main() -> None:
    """Entry point of pfnr-web."""
    run_app(app)


if __name__ == "__main__":
    main()
