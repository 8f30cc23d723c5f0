"""Where training runs: CPU threads, their memory, and the device."""

from __future__ import annotations

import os

import torch

from pfnr_runtime.errors import BackendError, UsageError
from pfnr_train.machine.heap import keep_freed_memory

DEVICES = ("auto", "cpu", "cuda")


def set_threads(count: int | None) -> int:
    """Use `count` CPU threads, else `$OMP_NUM_THREADS`, else all available to this process; returns the number."""
    if count is not None and not 1 <= count <= 1024:
        raise UsageError(f"`threads={count}` is outside 1 to 1024")
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    chosen = count or (int(wanted) if wanted.isdecimal() and int(wanted) else len(os.sched_getaffinity(0)))
    torch.set_num_threads(chosen)
    keep_freed_memory()
    return chosen


def choose_device(name: str) -> str:
    """'cpu' or 'cuda' for a name in `DEVICES`; BackendError if CUDA is asked for and missing."""
    if name not in DEVICES:
        raise UsageError(f"device {name!r} is none of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise BackendError("no CUDA device is available to PyTorch; use `device=cpu`")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
