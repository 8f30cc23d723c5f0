"""Training's passes through the network in bfloat16, where that holds quality.

Weights, scores, optimiser, loss and the Fourier block stay float32: only convolutions and the stem's products
are rounded, to 8 significant bits, and what passes between them. What a session decodes to is float32 always.
"""

from __future__ import annotations

import contextlib

import torch

PRECISIONS = ("fp32", "bf16")


def lowered(precision: str, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """A block in which the network works in `precision`, one of PRECISIONS."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def kept_exact(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """A block inside such a one in which everything has the precision of its inputs again."""
    if not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)
