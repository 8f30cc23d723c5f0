"""Training options of a command: a named recipe and the user's changes to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from pfnr_train.library.library import Library
from pfnr_train.model.precision import PRECISIONS
from pfnr_train.session.recipe import DEFAULT, RECIPES, SHARED, Recipe, named_recipe

_SHOWN = "the recipe's"

RecipeOption = Annotated[
    str | None,
    typer.Option(
        help=f"How to train: one of {', '.join(RECIPES)}.",
        show_default="default, or shared in a library whose sessions share values",
    ),
]
RateOption = Annotated[
    float | None, typer.Option(help="Cost of a bit per pixel in ln(RMSE); higher gives smaller sessions.")
]
TargetSizeOption = Annotated[
    str | None, typer.Option(help="Target size of the session, such as 40KB; steers --rate.")
]
TargetBppOption = Annotated[float | None, typer.Option(help="The same in bits per pixel.")]
EpochsOption = Annotated[int | None, typer.Option(help="Passes over the frames.", show_default=_SHOWN)]
DensityOption = Annotated[float | None, typer.Option(help="Fraction of the weights to use.", show_default=_SHOWN)]
PlanOption = Annotated[
    int | None,
    typer.Option(
        help="Videos the library is planned for, which share its weights evenly; 0: scores decide.",
        show_default=_SHOWN,
    ),
]
BatchOption = Annotated[int | None, typer.Option(help="Frames per step.", show_default=_SHOWN)]
LearningRateOption = Annotated[float | None, typer.Option(help="Peak learning rate.", show_default=_SHOWN)]
PrecisionOption = Annotated[
    str | None,
    typer.Option(help=f"Of the passes through the network: {' or '.join(PRECISIONS)}.", show_default=_SHOWN),
]
ParentOption = Annotated[
    str | None, typer.Option(help="Earlier session (index or name) to start from and store differences to.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of weights, scores and order.")]


def fitting_recipe(name: str | None, library: Library | None) -> str:
    """The recipe's name as given, or that which goes on as the library, if there is one, was begun."""
    if name is not None:
        return name
    return SHARED if library is not None and library.shares else DEFAULT


def choose_recipe(name: str, **given: float | str | None) -> Recipe:
    """The recipe of this name with the values given that are not None; UsageErrors name bad ones."""
    if given.get("target_bytes") is not None or given.get("target_bpp") is not None:
        given = {k: v or 0 for k, v in given.items() if v is not None or k.startswith("target")}
    return replace(named_recipe(name), **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
