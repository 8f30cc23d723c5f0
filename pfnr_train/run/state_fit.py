"""Whether a saved training fits the one it is to be loaded into: every key, shape, dtype and position.

A file can be whole and still not fit. PyTorch's fused optimisers go through memory by the weight's size, whatever
its moments' sizes are, so nothing is loaded that was not compared with a fresh training first.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pfnr_train.session.training import SessionTraining


def check_fit(state: Any, training: SessionTraining) -> None:
    """A ValueError names the first thing in a training's `state_dict` that cannot be this training's."""
    fresh = training.state_dict()
    _same(state, fresh, "state", without=("order", "optimiser", "step_count"))
    step, order, frames = state["step_count"], state["order"], training.frame_count
    if type(step) is not int or not 0 <= step <= training.total_steps:
        raise ValueError(f"step_count is {_shown(step)}, and there are 0 to {training.total_steps} steps")
    if not isinstance(order, Tensor) or order.dtype != torch.int64 or order.shape not in ((0,), (frames,)):
        raise ValueError(f"order is not of {frames} frames")
    if len(order) and not torch.equal(order.sort().values, torch.arange(frames)):
        raise ValueError(f"order does not name each of {frames} frames once")
    _check_optimiser(state["optimiser"], fresh["optimiser"], training, step)


def _check_optimiser(found: Any, fresh: dict[str, Any], training: SessionTraining, steps: int) -> None:
    _same_keys(found, fresh, "optimiser")
    for part, wanted in fresh.items():
        where = f"optimiser/{part}"
        _same_keys(found[part], wanted, where)
        groups = found[part]["param_groups"]
        _same(groups, wanted["param_groups"], f"{where}/param_groups", without=("lr",), exact=True)
        for group in groups:
            if type(group["lr"]) not in (int, float) or not 0 <= group["lr"] <= group["peak"]:
                raise ValueError(f"{where} has a learning rate of {_shown(group['lr'])}, over {group['peak']}")
        expected = training.form.optimiser.expected_state(part)
        kept = found[part]["state"]
        if not isinstance(kept, dict) or kept.keys() - expected.keys():
            raise ValueError(f"{where}/state is of other weights")
        for leaf, moments in kept.items():
            _same(moments, expected[leaf], f"{where}/state/{leaf}")
            if not 0 <= float(moments["step"]) <= steps:
                raise ValueError(f"{where}/state/{leaf} is after {float(moments['step'])} of {steps} steps")


def _same(found: Any, wanted: Any, where: str, without: tuple[str, ...] = (), exact: bool = False) -> None:
    """Compare two trees. without: keys whose values may differ. exact: whether plain values must be equal."""
    if isinstance(wanted, Tensor):
        shapes = (wanted.shape, (0,)) if where.endswith("/saliency") else (wanted.shape,)
        if not isinstance(found, Tensor) or found.dtype != wanted.dtype or found.shape not in shapes:
            raise ValueError(f"{where} is {_shown(found)}, not {_shown(wanted)}")
    elif isinstance(wanted, dict):
        _same_keys(found, wanted, where)
        for key, value in wanted.items():
            if key not in without:
                _same(found[key], value, f"{where}/{key}", without, exact)
    elif isinstance(wanted, (list, tuple)):
        if type(found) is not type(wanted) or (exact and len(found) != len(wanted)):
            raise ValueError(f"{where} is {_shown(found)}, not {_shown(wanted)}")
        if exact:
            for i, (mine, value) in enumerate(zip(found, wanted, strict=True)):
                _same(mine, value, f"{where}/{i}", without, exact)
    elif wanted is None and isinstance(found, Tensor) and not exact:  # a threshold, once there is one
        if found.dim() or not found.is_floating_point():
            raise ValueError(f"{where} is {_shown(found)}, not one number")
    elif type(found) is not type(wanted) or (exact and found != wanted):
        raise ValueError(f"{where} is {_shown(found)}, not {_shown(wanted)}")
    elif isinstance(found, float) and math.isnan(found):
        raise ValueError(f"{where} is not a number")


def _same_keys(found: Any, wanted: dict[Any, Any], where: str) -> None:
    if not isinstance(found, dict) or found.keys() != wanted.keys():
        given = sorted(map(str, found))[:20] if isinstance(found, dict) else _shown(found)
        raise ValueError(f"{where} has {given}, not {sorted(map(str, wanted))[:20]}")


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    return repr(value)[:60]
