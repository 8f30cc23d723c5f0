"""pfnr-decode: write the frames of an artifact to a file, a folder of images, or a digest."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from pfnr_runtime.commands.console import VERBOSE_HELP, make_app, print_json, reports_errors, run_app
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.video.ranges import select_frames

app = make_app(
    "Decode an exported video: pfnr-decode v5.onnx out.mp4 | frames/%05d.png | out.y4m | - | md5: | null:"
)


@app.command()
@reports_errors
def decode(
    artifact: Annotated[str, typer.Argument(help="The .onnx or .pfnv file that pfnr-export wrote.")],
    out: Annotated[
        str,
        typer.Argument(
            help="*.mp4, *.mkv, *.y4m, *.rgb, *.yuv, FOLDER/%05d.png (.jpg, .webp), rgb24:FILE, yuv420p:FILE, "
            "- (y4m on stdout), md5: or null:"
        ),
    ],
    frames: Annotated[
        str,
        typer.Option(help="Half-open range START:STOP or START:STOP:STEP; negative numbers count from the end."),
    ] = ":",
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Index or name, for a shared graph.", show_default=False)
    ] = None,
    backend: Annotated[str, typer.Option(help="Inference engine by name, or auto.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the engine.", show_default="all available")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Frames per engine run.", show_default="the engine's choice")
    ] = None,
    interpolate: Annotated[
        int,
        typer.Option(
            help="Slow motion: this many frames for each, at the same rate; needs an artifact of continuous time."
        ),
    ] = 1,
    codec: Annotated[
        str | None,
        typer.Option(help="Codec of a video file: h264, hevc, av1 or ffv1 (lossless, .mkv).", show_default="h264"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages, no progress bar.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help=VERBOSE_HELP)] = False,
) -> None:
    """Decode ARTIFACT and write its frames to OUT."""
    from pfnr_runtime.backends.trt.build import MAX_BATCH
    from pfnr_runtime.decoder import VideoDecoder
    from pfnr_runtime.playback.slow_motion import SlowMotion
    from pfnr_runtime.sinks import find_sink, open_sink
    from pfnr_runtime.sinks.output_file import writes_standard_output
    from pfnr_runtime.write_frames import write_frames

    if batch is not None and batch < 1:
        raise UsageError(f"--batch {batch} must be 1 or more")
    if as_json and writes_standard_output(out):
        raise UsageError(f"--json and the frames of {out} cannot both go to standard output")
    find_sink(out)  # finds a bad name before an engine is started
    most = None if batch is None else min(batch, MAX_BATCH)
    with VideoDecoder(artifact, session=session, backend=backend, threads=threads, max_batch=most) as decoder:
        chosen = select_frames(frames, len(decoder))
        opened: VideoDecoder | SlowMotion = decoder
        if interpolate != 1:
            opened = slow = SlowMotion(decoder, interpolate)
            chosen = slow.frames_of(chosen)
        if not quiet:
            say(decoder.backend.text(verbose))
        with open_sink(out, opened.metadata.select(chosen), len(chosen), codec=codec) as sink:
            if not quiet:
                say(f"writing {sink.description}")
            start = time.perf_counter()
            with Bar(quiet=quiet) as bar:
                write_frames(opened, chosen, sink, batch=batch, progress=bar)
        seconds = time.perf_counter() - start
        result: dict[str, Any] = {
            "artifact": artifact,
            "out": out,
            "description": sink.description,
            "backend": {"name": decoder.backend.name, "description": decoder.backend.description},
            "frames": len(chosen),
            "seconds": seconds,
            "fps": len(chosen) / seconds,
            **sink.result(),
        }
    if as_json:
        print_json(result)
    else:
        for name, value in sink.result().items():
            print(f"{name.upper()}={value}")
    if not quiet:
        say(f"{len(chosen)} frames in {seconds:.1f} s, {len(chosen) / seconds:.1f} fps → {out}")


def main() -> None:
    """Entry point of pfnr-decode."""
    run_app(app)


if __name__ == "__main__":
    main()
