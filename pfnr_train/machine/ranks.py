"""Processes that train one session together, each on its part of every batch.

Started by `torchrun --nproc-per-node N -m pfnr_train add ...`, they hold the same weights, scores and optimiser
state; gradients are summed over them before every step, so they stay the same, and so do the masks. Gradients are
reduced here rather than by DistributedDataParallel, which wraps a module and its parameters: here the network is a
function of masked weights, and a batch may not split evenly, yet each frame's gradient must count the same in a
small part as in a large one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from pfnr_runtime.errors import BackendError, PfnrError, TrainingError

# Other processes wait while the leading one measures and writes.
TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together: number `rank` of `size`. The default is a single process."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints messages."""
        return self.rank == 0

    def part(self, batch: Tensor) -> tuple[Tensor, float]:
        """This process's frames of a batch, int64 [b], and how much its mean counts in the batch's mean.

        A process left without a frame by a small batch takes the first one with weight 0, since every process must
        have every gradient.
        """
        own = batch.tensor_split(self.size)[self.rank]
        return (own, len(own) / len(batch)) if len(own) else (batch[:1], 0.0)

    def sum(self, parameters: Iterable[Tensor], figures: Sequence[float]) -> list[float]:
        """Sum the gradients of `parameters` in place, and the figures, over all processes."""
        if self.size == 1:
            return list(figures)
        gradients = [p.grad for p in parameters if p.grad is not None]
        small = torch.tensor(figures, dtype=torch.float32, device=self.device)
        flat = torch.cat([small, *(g.reshape(-1) for g in gradients)])
        with _together():
            dist.all_reduce(flat)
        summed, *parts = flat.split([len(small), *(g.numel() for g in gradients)])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return [float(value) for value in summed]

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process; the same answer in all."""
        return max(self._gather(int(flag))) > 0

    def first(self, number: int) -> int:
        """The leading process's number."""
        return self._gather(number)[0]

    def wait(self) -> None:
        """Wait for all processes."""
        self._gather(0)

    def check_same(self, digest: bytes, what: str) -> None:
        """A TrainingError, in all processes, if their digests (32 bytes) are not all the same."""
        if self.size == 1:
            return
        own = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(self.device)
        every = [torch.empty_like(own) for _ in range(self.size)]
        with _together():
            dist.all_gather(every, own)
        others = [rank for rank, found in enumerate(every) if not torch.equal(found, every[0])]
        if others:
            raise TrainingError(f"{what} not the same in all processes: {others} differ from 0")

    def _gather(self, number: int) -> list[int]:
        if self.size == 1:
            return [number]
        own = torch.tensor([number], dtype=torch.int64, device=self.device)
        every = [torch.empty_like(own) for _ in range(self.size)]
        with _together():
            dist.all_gather(every, own)
        return [int(value) for value in every]


ALONE = Ranks()


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """The processes that torchrun started, or this one alone, on `device` ("cpu" or "cuda").

    CPU processes talk through gloo; each CUDA process takes the device of its local number and they talk
    through NCCL. In all but the leading one, messages and results inside the block are dropped, and an error
    says which process it is from.
    """
    variables = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if not all(v.isdecimal() for v in variables) or "MASTER_ADDR" not in os.environ or int(variables[1]) < 2:
        yield Ranks(device=device)
        return
    rank, size, local = map(int, variables)
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise BackendError(
                f"process {local} of this machine has no CUDA device to itself: there are "
                f"{torch.cuda.device_count()}; start at most so many processes"
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    try:
        dist.init_process_group("gloo" if device == "cpu" else "nccl", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(f"process {rank} of {size} cannot reach the others: {reason}") from None
    try:
        if rank == 0:
            yield Ranks(rank, size, device)
            return
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stderr(nowhere),
            contextlib.redirect_stdout(nowhere),
        ):
            yield Ranks(rank, size, device)
    except PfnrError as error:
        raise type(error)(f"process {rank} of {size}: {error}") from None
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise TrainingError("another process stopped; its message says why") from None
