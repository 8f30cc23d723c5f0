"""pfnr-play: show an exported video in a window, in real time, or write it to a file, a pipe or a digest."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pfnr_runtime.commands.console import VERBOSE_HELP, make_app, print_json, reports_errors, run_app
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say

if TYPE_CHECKING:
    from pfnr_runtime.decoder import VideoDecoder
    from pfnr_runtime.playback.appearance_log import AppearanceLog
    from pfnr_runtime.playback.playback import Playback
    from pfnr_runtime.playback.screen import Screen
    from pfnr_runtime.playback.slow_motion import SlowMotion
    from pfnr_runtime.video.record import VideoRecord

DISPLAY = re.compile(r"display:(?://)?(\d{1,3})?", re.ASCII)
NULL = "null:"

app = make_app("Play an exported video: pfnr-play v5.onnx [display://0 | out.mp4 | - | md5: | null:]")


@app.command()
@reports_errors
def play(
    artifact: Annotated[str, typer.Argument(help="The .onnx or .pfnv file that pfnr-export wrote.")],
    out: Annotated[
        str,
        typer.Argument(
            help="display://N (a window), null: (real time, not shown), or any output of pfnr-decode: "
            "every frame, as fast as possible."
        ),
    ] = "display://0",
    session: Annotated[
        str | None, typer.Option(help="Index or name, for a shared graph.", show_default="the only one")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start over at the end.")] = False,
    speed: Annotated[float, typer.Option(help="Speed factor, 0.01 to 100.")] = 1.0,
    start: Annotated[
        str | None, typer.Option(help="First frame: seconds, 0:01.5, or a frame number such as 17f.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="End, exclusive, written like --start.")] = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames per second, such as 30000/1001.", show_default="the video's")
    ] = None,
    interpolate: Annotated[
        int, typer.Option(help="Slow motion: this many frames for each; needs an artifact of continuous time.")
    ] = 1,
    untimed: Annotated[bool, typer.Option("--untimed", help="Show every frame as soon as it is decoded.")] = False,
    frametimes: Annotated[Path | None, typer.Option(help="Write a CSV of when each frame appeared.")] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Show statistics on screen, and on stderr at the end.")
    ] = False,
    screenshots: Annotated[Path, typer.Option(help="Folder for screenshots (key s).")] = Path(),
    codec: Annotated[str | None, typer.Option(help="Codec of a video file: h264, hevc, av1 or ffv1.")] = None,
    backend: Annotated[str, typer.Option(help="Inference engine by name, or auto.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the engine.", show_default="all available")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help=VERBOSE_HELP)] = False,
) -> None:
    """Play ARTIFACT on OUT. Keys in the window: ? lists them."""
    from pfnr_runtime.decoder import VideoDecoder
    from pfnr_runtime.playback.moments import parse_span
    from pfnr_runtime.playback.player import FASTEST, SLOWEST
    from pfnr_runtime.playback.slow_motion import SlowMotion
    from pfnr_runtime.sinks import find_sink
    from pfnr_runtime.sinks.output_file import writes_standard_output
    from pfnr_runtime.video.rate import parse_rate

    if not SLOWEST <= speed <= FASTEST:
        raise UsageError(f"--speed {speed} is outside {SLOWEST:g} to {FASTEST:g}")
    rate = None if fps is None else parse_rate(fps)
    display = DISPLAY.fullmatch(out)
    shown = display is not None or out == NULL
    if shown and codec is not None:
        raise UsageError(f"{out} takes no --codec")
    if out.startswith("display") and not shown:
        raise UsageError(f"{out!r} is not a display; write display://N, counting displays from 0")
    if not shown:
        _check_sink_options(out, loop=loop, frametimes=frametimes, stats=stats)
        if as_json and writes_standard_output(out):
            raise UsageError(f"--json and the frames of {out} cannot both go to standard output")
        find_sink(out)  # finds a bad name before an engine is started
    if not screenshots.is_dir():
        raise UsageError(f"--screenshots {screenshots}: no such folder; make it first: mkdir -p {screenshots}")
    with VideoDecoder(artifact, session=session, backend=backend, threads=threads) as decoder:
        chosen = parse_span(start, end, decoder.metadata)
        slow = None if interpolate == 1 else SlowMotion(decoder, interpolate)
        if slow is not None:
            chosen = slow.frames_of(chosen)
        if not quiet:
            say(decoder.backend.text(verbose))
        if not shown:
            opened = decoder if slow is None else slow
            video = _retimed(opened.metadata.select(chosen), rate, speed)
            result = _write(opened, out, chosen, video, codec, loop, quiet)
        else:
            from pfnr_runtime.playback.playback import Options, Playback
            from pfnr_runtime.playback.player import Player
            from pfnr_runtime.playback.source import DecoderSource

            source = DecoderSource(decoder, slow)
            for reason in source.damaged.values():
                say(f"left out: {reason}")
            player = Player(
                source.videos,
                source.session,
                start=chosen.start,
                stop=chosen.stop,
                fps=rate,
                speed=speed,
                loop=loop,
                timed=not untimed,
            )
            with _screen(decoder.metadata, display) as screen, _frame_times(frametimes) as times:
                title, about = Path(artifact).name, decoder.backend.description
                playback = Playback(source, player, screen, Options(title, about, screenshots, times, stats))
                playback.run()
            result = _played(playback, stats, quiet)
        result.update(artifact=artifact, out=out, session=decoder.contract.session)
        result["backend"] = {"name": decoder.backend.name, "description": decoder.backend.description}
    if as_json:
        print_json(result)
    elif "md5" in result:
        print(f"MD5={result['md5']}")


def _check_sink_options(out: str, *, loop: bool, frametimes: Path | None, stats: bool) -> None:
    from pfnr_runtime.sinks.output_file import writes_standard_output

    if loop and not writes_standard_output(out):
        raise UsageError(f"--loop would never finish {out}; use it with a window, null: or standard output")
    for name, given in (("frametimes", frametimes is not None), ("stats", stats)):
        if given:
            raise UsageError(f"--{name} works with a window or null:, not with {out}, which takes every frame")


def _retimed(video: VideoRecord, fps: Fraction | None, speed: float) -> VideoRecord:
    """The record of an output at this rate and speed."""
    try:
        return (video if fps is None else video.at_rate(fps)).faster(Fraction(str(speed)))
    except ValueError as error:
        raise UsageError(f"--fps and --speed: {error}") from None


def _write(
    decoder: VideoDecoder | SlowMotion,
    out: str,
    frames: range,
    video: VideoRecord,
    codec: str | None,
    loop: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Write every frame to a sink; returns its result."""
    from pfnr_runtime.sinks import open_sink
    from pfnr_runtime.write_frames import write_frames

    begin = time.perf_counter()
    with open_sink(out, video, len(frames), codec=codec) as sink:
        if not quiet:
            say(f"writing {sink.description}")
        with Bar(quiet=quiet) as bar:
            write_frames(decoder, frames, sink, progress=bar)
        while loop:  # until the reader closes it
            write_frames(decoder, frames, sink)
    seconds = time.perf_counter() - begin
    return {"description": sink.description, "frames": sink.frames_written, "seconds": seconds, **sink.result()}


def _played(playback: Playback, stats: bool, quiet: bool) -> dict[str, Any]:
    statistics = playback.statistics
    if stats and not quiet:
        for line in statistics.lines():
            say(line)
    return {"statistics": statistics.to_json(), "frames": statistics.shown}


@contextlib.contextmanager
def _screen(video: VideoRecord, display: re.Match[str] | None) -> Iterator[Screen]:
    """The window on the requested display, or none."""
    from pfnr_runtime.playback.screen import NoScreen
    from pfnr_runtime.playback.window import Window

    screen: Screen = NoScreen() if display is None else Window(video, int(display[1] or 0))
    try:
        yield screen
    finally:
        screen.close()


@contextlib.contextmanager
def _frame_times(path: Path | None) -> Iterator[AppearanceLog | None]:
    """A file of frame times, kept after an interrupt too, dropped after an error."""
    from pfnr_runtime.playback.appearance_log import AppearanceLog

    if path is None:
        yield None
        return
    times = AppearanceLog(path)
    try:
        yield times
        times.close()
    except KeyboardInterrupt:
        times.close()
        raise
    finally:
        times.discard()


def main() -> None:
    """Entry point of pfnr-play."""
    run_app(app)


if __name__ == "__main__":
    main()
