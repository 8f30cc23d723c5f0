"""Exact in 8 bits: convolutions of whole numbers, whose frames are the same bytes on every engine, proved.

`pfnr_export.exact_int8.layers` defines the frames. Ranges are true maxima over all frames. What this loses against
the exact frames is measured on all of them. Convolutions that cost too much return to exact float, worst first,
until every frame is within the budget.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import torch

from pfnr_export.emit import emit
from pfnr_export.exact_int8.layers import MOST_PAIR, MOST_SUM, Grid, Int8Conv
from pfnr_export.exact_int8.rewrite import (
    Grids,
    convolutions,
    in_8_bits,
    kernel,
    narrowed,
    ranges,
    widest,
)
from pfnr_export.exactness import measure, refuse_inexact
from pfnr_export.layers import Decoder
from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.budget_search import fit_budget
from pfnr_export.precisions.engine import Engine, spread
from pfnr_export.precisions.judge import Judge
from pfnr_export.precisions.onnx_edit import conv_macs, shapes, stored
from pfnr_runtime.artifact.contract import EXACT_INT8, METADATA_KEY, ArtifactContract
from pfnr_runtime.artifact.exactness import FramesDigest
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_train.model.network import to_uint8

BATCH = 4
CHOICE_FRAMES = 4


def _convert(subject: Subject) -> Converted:
    decoder = subject.decoder
    if decoder is None or subject.continuous:
        raise UsageError(f"{EXACT_INT8} decodes the whole frames of a session; export it with the time frames")
    refuse_inexact(decoder)
    judge = Judge(subject)
    grids = _grids(decoder, subject, judge)
    macs = _macs(subject.model, list(grids))
    contract = _contract(subject.model)
    mixture = fit_budget(judge, macs, lambda low: emit(in_8_bits(decoder, low, grids), contract), EXACT_INT8)
    made = in_8_bits(decoder, mixture.low, grids)
    held = _held(made)
    proof = measure(made, subject.frames, subject.progress)
    if FramesDigest().add_all(Engine(mixture.model).pictures(range(subject.frames))).sha256 != proof.frames_sha256:
        raise VerificationError(
            "ONNX Runtime's frames are not the definition's; export it as exact, and report this"
        )
    rows = []
    for name, layer in convolutions(decoder).items():
        low, values = name in mixture.low, kernel(layer).numel()
        row: dict[str, Any] = {
            "layer": name,
            "precision": "int8" if low else "exact",
            "loss_alone": round(mixture.alone[name], 4),
            "macs": macs[name],
            "bytes": values + 4 * len(kernel(layer)) if low else 4 * values,
        }
        if low:
            row |= {"input": _values(grids[name].input), "sums": _values(grids[name].sums), **held[name]}
        rows.append(row)
    return Converted(mixture.model, judge.report(mixture.losses) | {"layers": rows}, proof)


def _grids(decoder: Decoder, subject: Subject, judge: Judge) -> dict[str, Grids]:
    """By convolution, its grids: they hold every value of every frame, or clip where that measures better."""
    used = spread(subject.frames, subject.calibration_frames or subject.frames)
    subject.progress.stage(f"{EXACT_INT8}: ranges over {len(used)} frames")
    grids = widest(decoder, ranges(decoder, torch.tensor(used).split(BATCH)))
    chosen = spread(subject.frames, CHOICE_FRAMES)
    reference = judge.reference[chosen].astype(np.float64)

    def error(tried: dict[str, Grids]) -> float:
        with torch.no_grad():
            pictures = to_uint8(in_8_bits(decoder, frozenset(tried), tried)(torch.tensor(chosen)))
        return float(np.square(pictures - reference).mean())

    subject.progress.stage(f"{EXACT_INT8}: choosing steps by measured error")
    return narrowed(grids, error)


def _held(decoder: Decoder) -> dict[str, dict[str, int]]:
    """By 8-bit convolution, what its integers add up to at most; a VerificationError where that does not fit."""
    found: dict[str, dict[str, int]] = {}
    for path, layer in decoder.named_modules():
        if isinstance(layer, Int8Conv):
            name = path.replace(".left.", "/").replace(".right.", "/")
            found[name] = {"largest_pair": layer.largest_pair, "largest_sum": layer.largest_sum}
            for (what, largest), most in zip(found[name].items(), (MOST_PAIR, MOST_SUM), strict=True):
                if largest > most:
                    raise VerificationError(
                        f"layer {name}: its {what.replace('_', ' ')} of products is {largest}, and int8 "
                        f"kernels hold {most}: export it as exact, and report this"
                    )
    return found


def _macs(model: onnx.ModelProto, layers: list[str]) -> dict[str, int]:
    """By convolution, its multiply-adds for one frame."""
    tensors, sizes = stored(model), shapes(model)
    convs = {node.name: node for node in model.graph.node if node.op_type == "Conv"}
    found = {}
    for layer in layers:
        conv = convs[f"{layer}/conv"]
        found[layer] = conv_macs(conv, tensors[conv.input[1]].dims, sizes[conv.output[0]])
    return found


def _contract(model: onnx.ModelProto) -> ArtifactContract:
    [about] = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    return ArtifactContract.from_json(json.loads(about))


def _values(grid: Grid) -> list[float]:
    """A grid as the report has it: the step and the middle, in units of 2^-`FRACTION`."""
    return [grid.step, grid.shift]


PRECISION = Precision(EXACT_INT8, "convolutions in 8 bits, the same bytes on every engine, proved", 0.3, _convert)
