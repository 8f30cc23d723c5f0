"""The stem as a table: with only N possible inputs, a layer of it is N rows.

Tables are computed in float64 and rounded once, so that every machine makes the same bytes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pfnr_export.layers import Decoder, Linear, Relu, Table
from pfnr_export.passes.rewrite import find_run, replace_run


def stem_hidden_table(decoder: Decoder) -> Decoder | None:
    """Time table and the stem's first layer become one table of N × hidden units."""
    return _fold(decoder, always=True)


def stem_table(decoder: Decoder) -> Decoder | None:
    """The whole stem becomes one table, where that is smaller than the weights it replaces."""
    return _fold(decoder, always=False)


def _fold(decoder: Decoder, always: bool) -> Decoder | None:
    start = find_run(decoder, (Table, Linear, Relu))
    if start is None:
        return None
    table, linear, _ = decoder.layers()[start : start + 3]
    assert isinstance(table, Table)
    assert isinstance(linear, Linear)
    frames, inputs = table.table.shape
    if not always and frames * linear.weight.shape[0] > frames * inputs + linear.weight.numel():
        return None
    bias = None if linear.bias is None else linear.bias.double()
    rows = F.relu(F.linear(table.table.double(), linear.weight.double(), bias))
    name = list(decoder.named_children())[start + 1][0]
    dtype: torch.dtype = table.table.dtype
    return replace_run(decoder, start, 3, {f"{name}_table": Table(rows.to(dtype))})
