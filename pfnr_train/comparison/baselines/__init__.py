"""The methods that the paper compares (arXiv 2306.11305, section 4), one file each, by name.

`make_method("pfnr-f3@0.1", setting)`: a density after @ overrides the recipe's, for methods that have one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pfnr_runtime.errors import UsageError
from pfnr_train.comparison.baselines.ewc import ElasticWeightConsolidation
from pfnr_train.comparison.baselines.joint import MultiTask
from pfnr_train.comparison.baselines.method import DenseNetwork, Method, Setting
from pfnr_train.comparison.baselines.replay import ExemplarReplay
from pfnr_train.comparison.baselines.sequential import FineTuning
from pfnr_train.comparison.baselines.single import SingleTask
from pfnr_train.comparison.baselines.subnetworks import Subnetworks

DENSE: dict[str, Callable[[Setting], Method]] = {
    "stl": SingleTask,
    "mtl": MultiTask,
    "fine-tuning": FineTuning,
    "ewc": ElasticWeightConsolidation,
    "icarl": ExemplarReplay,
}
SPARSE: dict[str, Callable[[Setting], Method]] = {
    "wsn": partial(Subnetworks, block=None),
    "pfnr-f2": partial(Subnetworks, block=0),
    "pfnr-f3": partial(Subnetworks, block=1),
}
METHODS = (*DENSE, *SPARSE)

__all__ = ["METHODS", "DenseNetwork", "Method", "Setting", "make_method", "split_method"]


def split_method(text: str) -> tuple[str, float | None]:
    """'pfnr-f3@0.1' as (name, density), 'stl' as (name, None); a UsageError lists the methods."""
    name, at, density = text.partition("@")
    if name not in METHODS:
        raise UsageError(f"method {name!r} is none of {', '.join(METHODS)}")
    if not at:
        return name, None
    if name in DENSE:
        raise UsageError(f"method {text!r}: {name} has no masks, so no density")
    try:
        return name, float(density)
    except ValueError:
        raise UsageError(f"method {text!r}: {density!r} is not a density such as 0.3") from None


def make_method(text: str, setting: Setting) -> Method:
    """The method of this name, before its first video."""
    name, density = split_method(text)
    if density is not None:
        setting = replace(setting, recipe=replace(setting.recipe, density=density))
    return (DENSE | SPARSE)[name](setting)
