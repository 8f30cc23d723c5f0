"""How sessions are trained, as options of a command: a named recipe and what a person changes in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from pfnr_train.model.precision import PRECISIONS
from pfnr_train.session.recipe import RECIPES, Recipe, named_recipe

_SHOWN = "the recipe's"

RecipeOption = Annotated[str, typer.Option(help=f"How to train: one of {', '.join(RECIPES)}.")]
EpochsOption = Annotated[int | None, typer.Option(help="Passes over the frames.", show_default=_SHOWN)]
DensityOption = Annotated[float | None, typer.Option(help="Fraction of the weights to use.", show_default=_SHOWN)]
PlanOption = Annotated[
    int | None,
    typer.Option(
        help="Videos the library is meant for: they share its weights evenly. 0: as the scores choose.",
        show_default=_SHOWN,
    ),
]
BatchOption = Annotated[int | None, typer.Option(help="Frames a step.", show_default=_SHOWN)]
LearningRateOption = Annotated[float | None, typer.Option(help="Peak learning rate.", show_default=_SHOWN)]
PrecisionOption = Annotated[
    str | None,
    typer.Option(help=f"Of the passes through the network: {' or '.join(PRECISIONS)}.", show_default=_SHOWN),
]
SeedOption = Annotated[int, typer.Option(help="Seed of weights, scores and order.")]


def choose_recipe(name: str, **given: float | str | None) -> Recipe:
    """The recipe of this name with the values given that are not None; UsageErrors name bad ones."""
    return replace(named_recipe(name), **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
