"""Activation ranges: exact over all frames, then narrowed where that measures better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pfnr_export.precisions.engine import Engine, with_outputs
from pfnr_export.precisions.int8_graph import INT8_STEPS
from pfnr_export.precisions.onnx_edit import add_constant, copied

# Percentage of samples kept by each clipping that is tried in addition to min-max and least squares.
PERCENTILES = (99.999, 99.99, 99.9, 99.5)
SAMPLES_PER_FRAME = 200_000  # of one value in one frame, evenly spaced
LEAST_SQUARES_STEPS = 64
REFINEMENT = 1.15
SEARCHED = "search"
MINMAX, LEAST_SQUARES = "min-max", "least-squares"


def magnitudes(model: onnx.ModelProto, values: Sequence[str], frames: Iterable[float]) -> NDArray[np.float64]:
    """The largest |x| of each value in each frame, exactly: float64 [frames, values]."""
    nodes = []
    for name in values:
        nodes.append(helper.make_node("Abs", [name], [f"{name}/abs"], name=f"{name}/abs"))
        nodes.append(
            helper.make_node("ReduceMax", [f"{name}/abs"], [f"{name}/max"], name=f"{name}/max", keepdims=0)
        )
    names = [f"{name}/max" for name in values]
    engine = Engine(with_outputs(model, nodes, names))
    return np.array([[float(v) for v in engine.values(names, frame)] for frame in frames])


def channel_rms(
    model: onnx.ModelProto, values: Sequence[str], frames: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """By value [B, C, h, w], the root mean square of each channel over `frames`: float64 [C]."""
    nodes = []
    for name in values:
        nodes.append(helper.make_node("Mul", [name, name], [f"{name}/square"], name=f"{name}/square"))
        mean = helper.make_node("ReduceMean", [f"{name}/square"], [f"{name}/mean"], axes=[0, 2, 3], keepdims=0)
        nodes.append(mean)
    names = [f"{name}/mean" for name in values]
    engine = Engine(with_outputs(model, nodes, names))
    found = [engine.values(names, frame) for frame in frames]
    return {
        name: np.sqrt(np.mean([means[i] for means in found], axis=0, dtype=np.float64))
        for i, name in enumerate(values)
    }


def samples(
    model: onnx.ModelProto, sizes: dict[str, int], frames: Sequence[int]
) -> dict[str, NDArray[np.float32]]:
    """By value, evenly spaced samples of it from each frame. sizes: elements of each value in one frame."""
    probed, nodes = copied(model), []
    flat = add_constant(probed, "samples/flat", np.array([-1], np.int64))
    start = add_constant(probed, "samples/start", np.array([0], np.int64))
    end = add_constant(probed, "samples/end", np.array([np.iinfo(np.int64).max], np.int64))
    for name, size in sizes.items():
        # An odd stride visits every column and channel of even-sized maps in turn.
        stride = max(size // SAMPLES_PER_FRAME, 1) | 1
        step = add_constant(probed, f"samples/{stride}", np.array([stride], np.int64))
        nodes.append(helper.make_node("Reshape", [name, flat], [f"{name}/flat"]))
        nodes.append(helper.make_node("Slice", [f"{name}/flat", start, end, start, step], [f"{name}/samples"]))
    names = [f"{name}/samples" for name in sizes]
    engine = Engine(with_outputs(probed, nodes, names))
    per_frame = [engine.values(names, frame) for frame in frames]
    return {name: np.concatenate([found[i] for found in per_frame]) for i, name in enumerate(sizes)}


def candidates(largest: float, sample: NDArray[np.float32]) -> dict[str, float]:
    """Limits to try for one value, by rule name; without duplicates, least squares first."""
    if largest == 0:
        return {MINMAX: 1.0}  # a value that is always 0 is exact at any scale
    magnitude = np.abs(sample)
    found = {LEAST_SQUARES: _least_squares(largest, sample), MINMAX: largest}
    for percentile in PERCENTILES:
        found[f"{percentile:g} %"] = min(largest, float(np.percentile(magnitude, percentile)))
    unique: dict[str, float] = {}
    for name, limit in found.items():
        if limit > 0 and all(abs(limit - other) > 1e-3 * other for other in unique.values()):
            unique[name] = limit
    return unique


def _least_squares(largest: float, sample: NDArray[np.float32]) -> float:
    """The limit whose int8 rounding and clipping has the least mean squared error on the sample."""
    limits = largest * np.arange(LEAST_SQUARES_STEPS, LEAST_SQUARES_STEPS // 4, -1) / LEAST_SQUARES_STEPS
    errors = []
    for limit in limits:
        scale = np.float32(limit / INT8_STEPS)
        rounded = np.clip(np.rint(sample / scale), -INT8_STEPS - 1, INT8_STEPS) * scale
        errors.append(float(np.mean((rounded - sample) ** 2, dtype=np.float64)))
    return float(limits[int(np.argmin(errors))])


def choose(
    options: dict[str, dict[str, float]], error: Callable[[dict[str, float]], float]
) -> tuple[dict[str, float], dict[str, str]]:
    """For each value in turn, the limit with the least error on whole frames, the others held fixed.

    options: by value, its candidates. error: of the model with these limits. From the best candidate, the limit
    moves by `REFINEMENT` up or down while that measures better. Returns the limits and their rules' names.
    """
    rules = {name: next(iter(found)) for name, found in options.items()}
    limits = {name: options[name][rule] for name, rule in rules.items()}
    least = error(limits)
    for name, found in options.items():
        for rule, limit in list(found.items())[1:]:
            tried = limits | {name: limit}
            if (measured := error(tried)) < least:
                least, limits, rules = measured, tried, rules | {name: rule}
    for name, found in options.items():
        for factor in (1 / REFINEMENT, REFINEMENT):
            while (limit := limits[name] * factor) <= max(found.values()):
                tried = limits | {name: limit}
                if not (measured := error(tried)) < least:
                    break
                least, limits, rules = measured, tried, rules | {name: SEARCHED}
    return limits, rules
