"""Canvas sessions that nobody trained, and their frames by integer arithmetic alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helpers.libraries import made_record
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.video.time_table import PLACE_FRACTION
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values.coded import HEAD, CodedValues, stream_shapes
from pfnr_train.model.canvas import FRACTION, LATENTS, PANNED, PATH, STILL
from pfnr_train.model.config import ModelConfig, preset_config

Integers = NDArray[np.int64]
COSINE_FRACTION = 11


def canvas_tensors(config: ModelConfig, seed: int = 0, exponent: int = -4, most: int = 3) -> dict[str, Quantised]:
    """Random weights, whole numbers up to `most` in steps of 2^exponent; the path moves over many cells."""
    rng = np.random.default_rng(seed)
    tensors = {
        name: Quantised(rng.integers(-most, most + 1, shape).astype(np.int32), exponent)
        for name, shape in stream_shapes(config).items()
    }
    path = rng.integers(-40, 41, tensors[PATH].integers.shape)
    path[:, 0] = 1000  # the mean: 1000/64 cells
    return tensors | {PATH: Quantised(path.astype(np.int32), -6)}


def canvas_library(
    frames: int,
    tensors: dict[str, Quantised] | None = None,
    size: tuple[int, int] = (80, 45),
    config: ModelConfig | None = None,
) -> Library:
    """A library of one canvas session with these weights, or random ones, and true digests.

    config: the network, the preset's for the size if None.
    """
    config = config or preset_config("canvas", *size)
    values = CodedValues.of(tensors or canvas_tensors(config))
    made = Library(config, {}, (Session(made_record(config, 0, frames), values),))
    record = replace(made.sessions[0].record, weights_sha256=weights_digest(made.assemble(0)))
    return replace(made, sessions=(Session(record, values),))


def small_canvas() -> ModelConfig:
    """A canvas network of 80×45 with few weights, for trainings that take a second."""
    config = preset_config("canvas", 80, 45)
    assert config.canvas is not None
    return replace(config, channels=4, canvas=replace(config.canvas, terms=8, widths=(6, 4, 6), margin=(2, 4)))


def integer_frames(config: ModelConfig, tensors: dict[str, Quantised], table: NDArray[np.float32]) -> Integers:
    """The frames, [N, H, W, 3] in steps of 255, by the definition of the canvas network in int64."""
    canvas = config.canvas
    assert canvas is not None
    whole = {name: tensor.integers.astype(np.int64) for name, tensor in tensors.items()}
    step = {name: tensor.exponent for name, tensor in tensors.items()}
    cosines = np.rint(table.astype(np.float64) * 2**COSINE_FRACTION).astype(np.int64)

    def on_grid(values: Integers, exponent: int) -> Integers:
        return shifted(values, -exponent - FRACTION)

    x = on_grid(cosines @ whole[LATENTS].reshape(canvas.terms, -1), step[LATENTS] - COSINE_FRACTION)
    x = x.reshape(-1, config.channels, *config.grid)
    places = shifted(cosines @ whole[PATH].T, COSINE_FRACTION - step[PATH] - PLACE_FRACTION)
    blocks = config.blocks()
    for block in blocks:
        if block.index == canvas.still_block:
            still = on_grid(whole[STILL], step[STILL])
            x = np.concatenate([x, np.broadcast_to(still, (len(x), *still.shape))], 1)
        if block.index == canvas.panned_block:
            seen = [window(whole[PANNED], place, x.shape[2:]) for place in places]
            x = np.concatenate([x, on_grid(np.stack(seen), step[PANNED] - 2 * PLACE_FRACTION)], 1)
        name = f"block.{block.index}.conv"
        n = _convolved(x, whole, step, name)
        x = shifted(n * np.clip(n + 2 * 2**FRACTION, 0, 4 * 2**FRACTION), FRACTION + 2)
        x = shuffled(x, block.stride)
    sums = np.einsum("oc,nchw->nohw", whole[f"{HEAD}weight"], x)
    n = shifted(sums + added_bias(whole, step, HEAD, step[f"{HEAD}weight"]), -step[f"{HEAD}weight"])
    n = shuffled(n, canvas.enlarge)
    steps = shifted(np.clip(n + 2 * 2**FRACTION, 0, 4 * 2**FRACTION) * 255, FRACTION + 2)
    return steps.transpose(0, 2, 3, 1)


def shifted(values: Integers, bits: int) -> Integers:
    """values / 2^bits, rounded to whole numbers, halves to even."""
    if bits <= 0:
        return values << -bits
    low, half = values & ((1 << bits) - 1), 1 << (bits - 1)
    down = values >> bits
    return down + ((low > half) | ((low == half) & (down & 1 == 1)))


def added_bias(whole: dict[str, Integers], step: dict[str, int], layer: str, exponent: int) -> Integers:
    """A bias in the units of products of weights and activations, of shape [C, 1, 1]."""
    name = f"{layer}bias"
    shift = step[name] - exponent + FRACTION
    assert shift >= 0
    return (whole[name] << shift)[:, None, None]


def _convolved(x: Integers, whole: dict[str, Integers], step: dict[str, int], name: str) -> Integers:
    weight = whole[f"{name}.weight"]
    size, (rows, columns) = weight.shape[-1], x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    total: Integers = np.zeros((len(x), len(weight), rows, columns), np.int64)
    for i in range(size):
        for j in range(size):
            total += np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + rows, j : j + columns])
    exponent = step[f"{name}.weight"]
    return shifted(total + added_bias(whole, step, f"{name}.", exponent), -exponent)


def window(canvas: Integers, place: Integers, size: tuple[int, ...]) -> Integers:
    """The window at a place in 1/64 cells, in 1/64² of the canvas's steps."""
    one = 1 << PLACE_FRACTION
    bands = []
    for axis in (0, 1):
        cells = canvas.shape[1 + axis]
        start = np.clip(place[axis], 0, (cells - size[axis]) * one)
        distance = np.abs(start + one * (np.arange(size[axis])[:, None] - np.arange(cells)))
        bands.append(np.maximum(one - distance, 0))
    return np.einsum("hi,cij,wj->chw", bands[0], canvas, bands[1])


def shuffled(x: Integers, stride: int) -> Integers:
    n, channels, rows, columns = x.shape
    x = x.reshape(n, channels // stride**2, stride, stride, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, channels // stride**2, rows * stride, columns * stride)
