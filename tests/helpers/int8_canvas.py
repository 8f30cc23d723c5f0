"""Frames of canvas sessions in 8 bits, by integer arithmetic alone: see `exact_int8.layers`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.canvas_sessions import COSINE_FRACTION, Integers, added_bias, shifted, shuffled, window
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.video.time_table import PLACE_FRACTION
from pfnr_train.library.values.coded import HEAD
from pfnr_train.model.canvas import FRACTION, LATENTS, PANNED, PATH, STILL
from pfnr_train.model.config import ModelConfig

FINE = 32  # bits behind the point of an activation, whose unit is 2^-FRACTION
MOST_WEIGHT, MOST_BIAS = 64, 1 << 23


def integer_int8_frames(
    config: ModelConfig,
    tensors: Mapping[str, Quantised],
    table: NDArray[np.float32],
    layers: Mapping[str, Mapping[str, Any]],
) -> Integers:
    """The frames, [N, H, W, 3] in steps of 255. layers: a report's rows by name, of which the grids are taken; a
    convolution that is not among them stays in float.
    """
    canvas = config.canvas
    assert canvas is not None
    whole = {name: tensor.integers.astype(np.int64) for name, tensor in tensors.items()}
    step = {name: tensor.exponent for name, tensor in tensors.items()}
    cosines = np.rint(table.astype(np.float64) * 2**COSINE_FRACTION).astype(np.int64)

    def units(values: Integers, exponent: int) -> Integers:
        """On the grid of activations, in units of 2^-FINE of it."""
        return shifted(values, -exponent - FRACTION) << FINE

    x = units(cosines @ whole[LATENTS].reshape(canvas.terms, -1), step[LATENTS] - COSINE_FRACTION)
    x = x.reshape(-1, config.channels, *config.grid)
    places = shifted(cosines @ whole[PATH].T, COSINE_FRACTION - step[PATH] - PLACE_FRACTION)
    for block in config.blocks():
        if block.index == canvas.still_block:
            still = units(whole[STILL], step[STILL])
            x = np.concatenate([x, np.broadcast_to(still, (len(x), *still.shape))], 1)
        if block.index == canvas.panned_block:
            seen = np.stack([window(whole[PANNED], place, x.shape[2:]) for place in places])
            x = np.concatenate([x, units(seen, step[PANNED] - 2 * PLACE_FRACTION)], 1)
        name = _scoped(canvas.panned_block, block.index)
        n = _sums(x, whole, step, f"block.{block.index}.conv.", layers.get(name))
        # n is a whole number of 2^-16 units, and so is the gate: the product fits into 63 bits.
        gate = np.clip((n >> FINE - 16) + (512 << 16), 0, 1024 << 16)
        x = (n >> FINE - 16) * gate  # in units of 2^-42
        last = block.index == len(config.blocks()) - 1
        both = {name, "head" if last else _scoped(canvas.panned_block, block.index + 1)} <= layers.keys()
        x = shifted(x, 42 - FINE) if both else shifted(x, 42) << FINE
        x = shuffled(x, block.stride)
    n = shuffled(_sums(x, whole, step, HEAD, layers.get("head")) >> FINE, canvas.enlarge)
    steps = shifted(np.clip(n + 512, 0, 1024) * 255, FRACTION + 2)
    return steps.transpose(0, 2, 3, 1)


def _scoped(panned_block: int, block: int) -> str:
    """The name of a block's convolution in a report."""
    return f"{'canvases/' if block < panned_block else ''}block_{block}_conv"


def _sums(
    x: Integers,
    whole: Mapping[str, Integers],
    step: Mapping[str, int],
    name: str,
    layer: Mapping[str, Any] | None,
) -> Integers:
    """A convolution, quantised as the layer's grids say, or rounded to whole units where it has none."""
    weight, bias = whole[f"{name}weight"], whole[f"{name}bias"]
    weight = weight if weight.ndim == 4 else weight[:, :, None, None]
    exponent = step[f"{name}weight"]
    if layer is None:
        total = _convolved(x >> FINE, weight) + added_bias(whole, step, name, exponent)
        return shifted(total, -exponent) << FINE
    units = bias * 2.0 ** (step[f"{name}bias"] + FRACTION)
    (input_step, input_shift), (sum_step, sum_shift) = layer["input"], layer["sums"]
    s = round(math.log2(input_step))
    low = np.clip(shifted(x - int(input_shift * 2**FINE), FINE + s), -128, 127)
    result = []
    for w, b in zip(weight, units, strict=True):
        t = -20  # log2 of the step, in the weight's own steps
        while True:
            w8 = shifted(w, t)
            unit = t + exponent + s  # log2 of the sums' step
            wanted = b + float(w8.sum()) * 2.0 ** (t + exponent) * input_shift - sum_shift
            whole_bias = int(np.rint(wanted * 2.0**-unit))
            if np.abs(w).max() <= MOST_WEIGHT * 2.0**t and abs(whole_bias) <= MOST_BIAS:
                break
            t += 1
        total = _convolved(low, w8[None])[:, 0] + whole_bias
        result.append(np.clip(shifted(total, round(math.log2(sum_step)) - unit), -128, 127))
    return (np.stack(result, 1) * int(sum_step * 2**16) + int(sum_shift * 2**16)) << FINE - 16


def _convolved(x: Integers, weight: Integers) -> Integers:
    size, (rows, columns) = weight.shape[-1], x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    total: Integers = np.zeros((len(x), len(weight), rows, columns), np.int64)
    for i in range(size):
        for j in range(size):
            total += np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + rows, j : j + columns])
    return total
