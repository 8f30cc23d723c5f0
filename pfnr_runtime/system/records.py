"""Finding what the modules of a package offer: adding a backend, a sink or a precision is adding one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any


def find_records(package: str, path: Iterable[str], attribute: str) -> list[Any]:
    """The value of `attribute` in every module of a package that has it, in the order of module names.

    package, path: the package's `__name__` and `__path__`.
    """
    modules = (importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(path))
    return [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
