"""pfnr-build: build an artifact's TensorRT engine ahead of time, so that the first frame need not wait."""

from __future__ import annotations

from typing import Annotated

import typer

from pfnr_runtime.commands.console import make_app, print_json, reports_errors, run_app
from pfnr_runtime.system.messages import say

app = make_app("Build the engine of an exported video for this machine's GPU, and cache it.")


@app.command()
@reports_errors
def build(
    artifact: Annotated[str, typer.Argument(help="The .onnx or .pfnv file that pfnr-export wrote.")],
    backend: Annotated[
        str, typer.Option(help="tensorrt or tensorrt-rtx.", show_default="the first that works")
    ] = "auto",
    session: Annotated[
        str | None,
        typer.Option(help="Any session of a shared graph; one engine serves all.", show_default="the first"),
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Largest batch, 1 to 64 frames.")] = 1,
    tf32: Annotated[
        bool, typer.Option("--tf32", help="Let fp32 products round their inputs to 10 bits (TF32).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Build the engine of ARTIFACT, or find it in the cache; print its build time and size."""
    from pfnr_runtime.artifact.open import SharedFile, examine_artifact, open_artifact
    from pfnr_runtime.artifact.sidecar import list_sidecars
    from pfnr_runtime.backends.trt.build import BuildOptions
    from pfnr_runtime.backends.trt.obtain import choose_flavour, obtain_engine

    options = BuildOptions(max_batch, tf32)
    examined = examine_artifact(artifact)
    if isinstance(examined, SharedFile) and session is None:
        session = next(map(str, list_sidecars(examined.path)), None)
    opened = open_artifact(artifact, session)
    library, device = choose_flavour(backend)
    made = obtain_engine(library, device, opened, options, report=say)
    if as_json:
        print_json(
            {
                "artifact": artifact,
                "artifact_sha256": opened.sha256,
                "library": str(library),
                "device": str(device.info),
                "options": options.to_json(),
                "engine": str(made.path),
                "bytes": made.size,
                "seconds": made.seconds,
                "built_now": made.fresh,
                "golden": made.golden or None,
                "layers": made.types.layers,
                "types": sorted(made.types.types),
            }
        )
        return
    state = "built in" if made.fresh else "in the cache, built in"
    print(f"{made.path}: {state} {made.seconds:.1f} s, {made.size / 1e6:.1f} MB, {made.types}")


def main() -> None:
    """Entry point of pfnr-build."""
    run_app(app)


if __name__ == "__main__":
    main()
