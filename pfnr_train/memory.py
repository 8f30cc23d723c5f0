"""What to do when a training does not fit the memory there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from pfnr_runtime.errors import TrainingError
from pfnr_train.config import PRESETS


@contextlib.contextmanager
def explains_lack_of_memory(batch: int, device: str) -> Iterator[None]:
    """Turn a lack of memory inside the block, the GPU's or the machine's, into a TrainingError with advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # PyTorch has a class of its own for a GPU's memory, and a RuntimeError for the machine's.
        on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        if not on_cpu and not isinstance(error, torch.OutOfMemoryError):
            raise
        fewer = f"a smaller --batch than {batch}, " if batch > 1 else ""
        raise TrainingError(
            f"{'this machine' if on_cpu else device} has not enough memory for this training: take {fewer}fewer "
            f"--frames or, in a new library, a smaller --size or --preset ({', '.join(PRESETS)})"
        ) from None
