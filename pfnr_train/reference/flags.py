"""The arguments that a reference checkpoint was trained with, which the file does not contain."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pfnr_runtime.errors import UsageError


@dataclass(frozen=True)
class ReferenceFlags:
    """Flags of the reference code's trainer, under its own names.

    - grid, channels: --fc_hw_dim h_w_c.
    - strides: --strides.
    - embed_base, embed_levels: --embed b_L.
    - sigmoid: --sigmoid.
    - reduction: --reduction. freq (block with the Fourier block, −1: none), cat_size (its channels when joined
      along channels, 0 or less: in place of the convolution) and lower_width can be read off the tensors; where
      given (not None), they must agree with them.
    """

    grid: tuple[int, int]
    channels: int
    strides: tuple[int, ...]
    embed_base: float
    embed_levels: int
    sigmoid: bool = False
    reduction: int = 2
    freq: int | None = None
    cat_size: int | None = None
    lower_width: int | None = None


def parse_fc_hw_dim(text: str) -> tuple[tuple[int, int], int]:
    """'9_16_112' as ((9, 16), 112)."""
    match = re.fullmatch(r"(\d{1,4})_(\d{1,4})_(\d{1,5})", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--fc-hw-dim {text!r} is not ROWS_COLUMNS_CHANNELS, such as 9_16_112")
    return (int(match[1]), int(match[2])), int(match[3])


def parse_embed(text: str) -> tuple[float, int]:
    """'1.25_40' as (1.25, 40)."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,12})?)_(\d{1,4})", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--embed {text!r} is not BASE_LEVELS, such as 1.25_40")
    return float(match[1]), int(match[2])


def parse_numbers(flag: str, text: str, least: int, most: int) -> tuple[int, ...]:
    """'5 2 2' or '5,2,2' as (5, 2, 2), each from `least` to `most`."""
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if not parts or not all(re.fullmatch(r"\d{1,9}", part, re.ASCII) for part in parts):
        raise UsageError(f"{flag} {text!r} is not a list of whole numbers, such as {flag} 5 2 2 or {flag} 5,2,2")
    numbers = tuple(int(part) for part in parts)
    for number in numbers:
        if not least <= number <= most:
            raise UsageError(f"{flag}: {number} is outside {least} to {most}")
    return numbers
