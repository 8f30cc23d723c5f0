"""`pfnr-train import`: a checkpoint of the reference code becomes a library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.messages import say
from pfnr_runtime.video.rate import parse_rate
from pfnr_train.commands.options import JsonOption
from pfnr_train.library.default_path import default_library_path
from pfnr_train.library.file import lock_library, write_library
from pfnr_train.reference.checkpoint import DEFAULT_MAX_BYTES, load_checkpoint
from pfnr_train.reference.convert import import_checkpoint
from pfnr_train.reference.flags import ReferenceFlags, parse_embed, parse_fc_hw_dim, parse_numbers

_LISTS = ("--strides", "--frames")


class NumberListCommand(TyperCommand):
    """A command whose number lists may be given as the reference code's trainer takes them: `--strides 5 2 2`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the numbers after a list flag into one value, then parse as usual."""
        rest: list[str] = super().parse_args(ctx, join_number_lists(args))
        return rest


def join_number_lists(args: list[str]) -> list[str]:
    """['--strides', '5', '2', 'x'] as ['--strides', '5,2', 'x']."""
    joined: list[str] = []
    for arg in args:
        numbers = re.fullmatch(r"[\d,\s]+", arg) is not None
        if numbers and len(joined) > 1 and joined[-2] in _LISTS and re.fullmatch(r"[\d,\s]+", joined[-1]):
            joined[-1] = f"{joined[-1]},{arg}"
        else:
            joined.append(arg)
    return joined


@reports_errors
def import_reference(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A model_task*_val_best.pth of the reference code.", show_default=False, readable=False
        ),
    ],
    fc_hw_dim: Annotated[
        str,
        typer.Option("--fc-hw-dim", "--fc_hw_dim", help="Its --fc_hw_dim, such as 9_16_112.", show_default=False),
    ],
    strides: Annotated[str, typer.Option(help="Its --strides, such as 5 2 2 2 2.", show_default=False)],
    embed: Annotated[str, typer.Option(help="Its --embed, such as 1.25_40.", show_default=False)],
    frames: Annotated[str, typer.Option(help="Frames of each video, such as 132,600.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            default_factory=default_library_path,
            show_default="$PFNR_LIBRARY or library.pfnr",
            help="The library to write; it must not exist.",
        ),
    ],
    sigmoid: Annotated[
        bool, typer.Option("--sigmoid", help="Whether it was trained with --sigmoid (otherwise tanh).")
    ] = False,
    freq: Annotated[
        int | None,
        typer.Option(help="Its --freq: block with the Fourier block, -1 for none.", show_default="found"),
    ] = None,
    cat_size: Annotated[
        int | None,
        typer.Option(
            "--cat-size", "--cat_size", help="Its --cat_size, -1 if channels are not joined.", show_default="found"
        ),
    ] = None,
    lower_width: Annotated[
        int | None,
        typer.Option("--lower-width", "--lower_width", help="Its --lower-width.", show_default="found"),
    ] = None,
    reduction: Annotated[int, typer.Option(help="Its --reduction.")] = 2,
    names: Annotated[
        str | None,
        typer.Option(help="Names of the sessions, such as bunny,beauty.", show_default="the checkpoint's"),
    ] = None,
    fps: Annotated[str, typer.Option(help="Frames per second of the videos, such as 30000/1001.")] = "25",
    max_bytes: Annotated[int, typer.Option(help="Largest checkpoint to open.", min=1)] = DEFAULT_MAX_BYTES,
    json: JsonOption = False,
) -> None:
    """Turn CHECKPOINT, trained with the reference code, into a library: one session per video, the same frames.

    The file does not contain the trainer's arguments, so give those used; they are checked against it.
    """
    grid, channels = parse_fc_hw_dim(fc_hw_dim)
    base, levels = parse_embed(embed)
    flags = ReferenceFlags(
        grid=grid,
        channels=channels,
        strides=parse_numbers("--strides", strides, 1, 64),
        embed_base=base,
        embed_levels=levels,
        sigmoid=sigmoid,
        reduction=reduction,
        freq=freq,
        cat_size=cat_size,
        lower_width=lower_width,
    )
    counts = parse_numbers("--frames", frames, 1, 1_000_000)
    chosen = None if names is None else tuple(name.strip() for name in names.split(","))
    rate = parse_rate(fps)
    with lock_library(output):
        if output.exists():
            raise LibraryError(f"{output} exists; name another file, or remove that one first")
        library = import_checkpoint(load_checkpoint(checkpoint, max_bytes), flags, counts, chosen, rate)
        write_library(library, output)
    width, height = library.config.size
    result: dict[str, Any] = {
        "library": str(output),
        "checkpoint": str(checkpoint),
        "size": [width, height],
        "config": library.config.to_json(),
        "library_bytes": output.stat().st_size,
        "sessions": [s.record.to_json() | {"index": i} for i, s in enumerate(library.sessions)],
    }
    if json:
        print_json(result)
        return
    say("the checkpoint holds neither sources nor frame rates: quality is unknown, and --fps is not checked")
    listed = ", ".join(f"{s.record.video.name}: {s.record.video.frames} frames" for s in library.sessions)
    print(f"{len(library.sessions)} sessions of {width}x{height} ({listed}) -> {output}")
