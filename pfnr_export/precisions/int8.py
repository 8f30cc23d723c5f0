"""Int8 convolutions, explicitly quantised, calibrated on every frame.

The Fourier block, the stem table, SiLU and the output stay fp32. The convolutions are all but a few per cent of
the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.budget_search import Mixture, fit_budget
from pfnr_export.precisions.engine import spread
from pfnr_export.precisions.fp16 import FOURIER_SCOPE
from pfnr_export.precisions.int8_graph import equalised, quantised, rescaled
from pfnr_export.precisions.int8_ranges import candidates, channel_rms, choose, magnitudes, samples
from pfnr_export.precisions.judge import Judge
from pfnr_export.precisions.onnx_edit import conv_macs, shapes, stored
from pfnr_runtime.errors import UsageError

SAMPLE_FRAMES = 8
CHOICE_FRAMES = 2
# A channel this much smaller than the largest is effectively silent.
LEAST_CHANNEL_GAIN = 1 / 256


def _convert(subject: Subject) -> Converted:
    model = subject.model
    convs = [node for node in model.graph.node if node.op_type == "Conv" and FOURIER_SCOPE not in node.name]
    if not convs:
        raise UsageError(
            "this decoder has no convolution, so there is nothing to run in int8; choose int8-weights"
        )
    layers = [conv.name for conv in convs]
    tensors, sizes = stored(model), shapes(model)
    macs = {c.name: conv_macs(c, tensors[c.input[1]].dims, sizes[c.output[0]]) for c in convs}
    judge, everything = Judge(subject), frozenset(layers)
    values = list(dict.fromkeys(name for conv in convs for name in (conv.input[0], conv.output[0])))
    counts = {name: int(np.prod([d or 1 for d in sizes[name]])) for name in values}
    used = spread(subject.frames, subject.calibration_frames or subject.frames)
    subject.progress.stage(f"int8: ranges of {len(values)} values over {len(used)} frames")
    gains = channel_gains(model, convs, used)
    model = equalised(model, everything, gains)
    largest = dict(zip(values, magnitudes(model, values, subject.places(used)).max(axis=0).tolist(), strict=True))
    sampled = samples(model, counts, spread(subject.frames, SAMPLE_FRAMES))
    options = {name: candidates(largest[name], sampled[name]) for name in values}
    subject.progress.stage(f"int8: choosing among {sum(map(len, options.values()))} clippings by measured error")
    frames = spread(subject.frames, CHOICE_FRAMES)

    def build(low: frozenset[str], limits: dict[str, float]) -> onnx.ModelProto:
        return quantised(subject.model, low, limits, gains)

    start = build(everything, {name: next(iter(found.values())) for name, found in options.items()})
    limits, rules = choose(options, lambda tried: judge.error(rescaled(start, tried), frames))
    mixture = fit_budget(judge, macs, lambda low: build(low, limits), "int8")
    return Converted(mixture.model, _report(judge, mixture, convs, macs, limits, rules, len(used)))


def channel_gains(
    model: onnx.ModelProto, convs: list[onnx.NodeProto], frames: list[int]
) -> dict[str, NDArray[np.float32]]:
    """By layer, the relative size of each of its output channels: float32 [C], the largest 1."""
    found = channel_rms(model, [conv.output[0] for conv in convs], frames)
    gains = {}
    for conv in convs:
        rms = found[conv.output[0]]
        relative = rms / max(float(rms.max()), float(np.finfo(np.float32).tiny))
        gains[conv.name] = np.maximum(relative, LEAST_CHANNEL_GAIN).astype(np.float32)
    return gains


def _report(
    judge: Judge,
    mixture: Mixture,
    convs: list[onnx.NodeProto],
    macs: dict[str, int],
    limits: dict[str, float],
    rules: dict[str, str],
    calibrated: int,
) -> dict[str, Any]:
    tensors = stored(judge.subject.model)
    rows = []
    for conv in convs:
        weight = list(tensors[conv.input[1]].dims)
        low = conv.name in mixture.low
        rows.append(
            {
                "layer": conv.name,
                "precision": "int8" if low else "fp32",
                "loss_alone": round(mixture.alone[conv.name], 4),
                "macs": macs[conv.name],
                "bytes": int(np.prod(weight)) + 4 * weight[0] if low else 4 * int(np.prod(weight)),
                "input": [rules[conv.input[0]], _short(limits[conv.input[0]])],
                "output": [rules[conv.output[0]], _short(limits[conv.output[0]])],
            }
        )
    return judge.report(mixture.losses) | {"layers": rows, "calibration_frames": calibrated}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


PRECISION = Precision("int8", "int8 convolutions, the rest fp32", 0.1, _convert)
