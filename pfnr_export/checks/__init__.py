"""Checks of a finished model before it is written.

The static check always runs; the others are asked for by name, since they need a compiler of the engine. A module
of this package with a `CHECK`, its name and the function, is one; adding one is adding a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

from pfnr_export.checks.allow_list import check_allow_list
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.records import find_records

__all__ = ["CHECKS", "check_allow_list", "choose_checks", "run_checks", "say_checks"]

# From a model and its bytes to the result, as plain JSON types.
Check = Callable[[onnx.ModelProto, bytes], dict[str, Any]]
CHECKS: dict[str, Check] = dict(find_records(__name__, __path__, "CHECK"))


def choose_checks(names: tuple[str, ...]) -> dict[str, Check]:
    """The checks of these names; a UsageError lists the known ones."""
    for name in names:
        if name not in CHECKS:
            raise UsageError(f"check {name!r} is none of {', '.join(CHECKS)}")
    return {name: CHECKS[name] for name in names}


def run_checks(model: onnx.ModelProto, data: bytes, names: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Run the static check, then the requested ones; returns their results. Raises as they do."""
    check_allow_list(model)
    return {name: check(model, data) for name, check in choose_checks(names).items()}


def say_checks(seen: dict[str, dict[str, Any]]) -> None:
    """Report which checks passed, and for which targets."""
    for name, found in seen.items():
        say(f"check {name} {found['version']}: compiles for {', '.join(found['targets'])} with the graph's types")
