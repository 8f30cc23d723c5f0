"""Options of the subcommands that take a sequence, and how they change it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pfnr_train.sequence.sequence import VideoSequence, read_sequence, recipe_setting
from pfnr_train.session.recipe import RECIPES, named_recipe

SequenceArgument = Annotated[
    Path,
    typer.Argument(
        help="A sequence file, such as benchmarks/sequences/uvg8mini.toml.", show_default=False, readable=False
    ),
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder with the clips.", show_default="$PFNR_DATA", envvar=None)
]
OnlyOption = Annotated[
    list[str] | None, typer.Option(help="Use only this video; may be repeated.", show_default="all")
]
SequenceRecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help=f"Use a different recipe, one of {', '.join(RECIPES)}; keeps epochs, batch and density.",
        show_default="the file's",
    ),
]
EpochsOption = Annotated[int | None, typer.Option(help="Passes over the frames.", show_default="the file's")]
DensityOption = Annotated[
    float | None, typer.Option(help="Fraction of each tensor to use.", show_default="the file's")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE of the recipe, such as learning_rate=0.01; may be repeated."),
]
FramesOption = Annotated[
    int | None, typer.Option(help="Use only the first frames of each video.", show_default="all")
]
SeedOption = Annotated[int, typer.Option(help="Seed of weights, scores and order.")]


def chosen_sequence(
    path: Path,
    only: list[str] | None,
    epochs: int | None,
    density: float | None,
    frames: int | None,
    seed: int,
    recipe_name: str | None = None,
    changes: list[str] | None = None,
) -> VideoSequence:
    """The sequence of a file as the options change it. Raises UsageError."""
    sequence = read_sequence(path)
    if only:
        sequence = sequence.only(only)
    if frames is not None:
        sequence = sequence.first_frames(frames)
    given: dict[str, Any] = {"epochs": epochs, "density": density, "seed": seed}
    recipe = sequence.recipe
    if recipe_name is not None:
        kept = {"epochs": recipe.epochs, "batch": recipe.batch, "density": recipe.density}
        recipe = replace(named_recipe(recipe_name), **kept)  # type: ignore[arg-type]
    for text in changes or []:
        recipe = replace(recipe, **recipe_setting(text))
    recipe = replace(recipe, **{key: value for key, value in given.items() if value is not None})
    return replace(sequence, recipe=recipe)
