"""The reference code's input embedding, bit for bit: in float32, in the same order of operations."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def reference_scalar(task: int, tasks: int) -> float:
    """The s of a task: (task + 1)/(tasks + 1), `tasks` being how many were planned."""
    return (task + 1) / (tasks + 1)


def reference_time_table(frames: int, task: int, tasks: int, base: float, levels: int) -> NDArray[np.float32]:
    """The network's input for every frame of a task: float32 [N, 4L], [PE(k/N), PE(s)].

    Its angles reach 19,000, where float32 has steps of 0.002: a different order or precision gives different
    inputs from those the network was trained with.
    """
    times = _embed(torch.tensor([k / frames for k in range(frames)], dtype=torch.float32), base, levels)
    session = _embed(torch.tensor([reference_scalar(task, tasks)], dtype=torch.float32), base, levels)
    table: NDArray[np.float32] = torch.cat([times, session.expand(frames, -1)], 1).contiguous().numpy()
    return table


def _embed(positions: Tensor, base: float, levels: int) -> Tensor:
    columns = []
    for level in range(levels):
        angles = positions * base**level * math.pi
        columns += [torch.sin(angles), torch.cos(angles)]
    return torch.stack(columns, 1)
