"""The origin of an exported session, for packing: weights by name, time table, Fourier blocks."""

from __future__ import annotations

from pfnr_export.canvas import whole_tensors
from pfnr_runtime.artifact.packed.pack import Origin
from pfnr_train.library.library import Library
from pfnr_train.model.network import spectral_plan

HEAD = "head."  # prefix of the head's tensors
STEM = tuple((f"stem.{i}.weight", f"stem.{i}.bias") for i in (0, 1))


def session_origin(library: Library, index: int) -> Origin:
    """The origin of session `index`'s export, at any precision."""
    config, session = library.config, library.session_weights(index)
    weights, head = session.materialised(), dict(session.head)
    if config.canvas is not None:
        weights, head = whole_tensors(weights), whole_tensors(head)
    tensors = {name: weight.numpy() for name, weight in weights.items()}
    tensors |= {HEAD + name: weight.numpy() for name, weight in head.items()}
    time = (config.embed_levels, config.embed_base, library.sessions[index].record.scalar)
    fourier = []
    for block in config.blocks():
        if block.fourier_channels:
            plan = spectral_plan(config, block)
            placed = int(plan.input_rows()[plan.m1]), int(plan.output_rows()[plan.m1])
            fourier.append((plan.rows, plan.columns, plan.stride, *placed))
    return Origin(tensors, STEM, time, tuple(fourier))
