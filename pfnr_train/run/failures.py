"""What can go wrong in a training's own machinery, and what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from pfnr_runtime.errors import TrainingError
from pfnr_train.model.config import PRESETS


@contextlib.contextmanager
def explains_failures(batch: int, device: str) -> Iterator[None]:
    """Turn a lack of memory in the block, the GPU's or the machine's, into a TrainingError; all else passes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # PyTorch has a separate exception for GPU memory, and a RuntimeError for host memory.
        on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        if not on_cpu and not isinstance(error, torch.OutOfMemoryError):
            raise
        fewer = f"a smaller `batch` than {batch}, " if batch > 1 else ""
        raise TrainingError(
            f"{'this machine' if on_cpu else device} has not enough memory for this training: take {fewer}fewer "
            f"`frames` or, in a new library, a smaller `size` or `preset` ({', '.join(PRESETS)})"
        ) from None
