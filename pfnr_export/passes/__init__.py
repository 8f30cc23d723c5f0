"""Closed-world passes over a decoder, in the order they run. Adding one is adding a file and a line here.

A decoder has only N possible inputs and one fixed frame size; each pass exploits that to do less at run time and
returns an equivalent decoder, or None where it does not apply.
"""

from __future__ import annotations

from pfnr_export.layers import Decoder, Pass
from pfnr_export.passes.activation_before_shuffle import activation_before_shuffle
from pfnr_export.passes.head_before_shuffle import head_before_shuffle
from pfnr_export.passes.stem_table import stem_hidden_table, stem_table

PASSES: dict[str, Pass] = {
    "stem-hidden-table": stem_hidden_table,
    "stem-table": stem_table,
    "head-before-shuffle": head_before_shuffle,
    "activation-before-shuffle": activation_before_shuffle,
}


# Passes for shared graphs: the structure must not depend on a session's length, nor may shared weights be folded
# into private tensors. (The stem's first layer may be: its rows are far smaller than its weights.)
SHARED_PASSES: dict[str, Pass] = {name: PASSES[name] for name in PASSES if name != "stem-table"}


def run_passes(decoder: Decoder, passes: dict[str, Pass] = PASSES) -> tuple[Decoder, tuple[str, ...]]:
    """Run every pass that applies; returns the decoder and the names of those that did."""
    applied = []
    for name, rewrite in passes.items():
        rewritten = rewrite(decoder)
        if rewritten is not None:
            decoder = rewritten
            applied.append(name)
    return decoder, tuple(applied)
