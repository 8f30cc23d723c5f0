"""Nested dicts, lists and tuples of tensors as named tensors and a JSON skeleton, and back.

An optimiser's `state_dict` is such a tree, with whole numbers as keys; so is a training's. Nothing in it is
ever executed, as unpickling would.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def flatten(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """The JSON skeleton of a tree and its tensors by name, as copies on the CPU.

    Leaves are tensors, None, text, whole numbers, finite floats and bools; a TypeError names any other.
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(tree, "", tensors), tensors


def _flatten(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = path or "tensor"
        # A copy: a tensor file may not hold two views of the same memory.
        tensors[name] = tree.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[_key(k, path), _flatten(v, _below(path, k), tensors)] for k, v in tree.items()]}
    if isinstance(tree, (list, tuple)):
        kind = "list" if isinstance(tree, list) else "tuple"
        return {kind: [_flatten(v, _below(path, i), tensors) for i, v in enumerate(tree)]}
    if tree is None or type(tree) in (str, int, float, bool):
        return tree
    raise TypeError(f"{path}: a {type(tree).__name__} cannot be part of a training state")


def _below(path: str, key: str | int) -> str:
    return f"{path}/{key}" if path else str(key)


def _key(key: Any, path: str) -> Any:
    if type(key) not in (str, int):
        raise TypeError(f"{path}: a {type(key).__name__} cannot be a key of a training state")
    return key


def unflatten(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `flatten`; a ValueError or KeyError for a skeleton that `flatten` did not make."""
    if not isinstance(skeleton, dict):
        if isinstance(skeleton, list):
            raise ValueError("a bare list in the skeleton")
        return skeleton
    ((kind, value),) = skeleton.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: unflatten(v, tensors) for key, v in value}
    if kind in ("list", "tuple"):
        parts = [unflatten(v, tensors) for v in value]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"unknown kind {kind!r} in the skeleton")
