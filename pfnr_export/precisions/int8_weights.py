"""Weights stored as int8 with per-channel scales, arithmetic in fp32: about a quarter of the file size.

Each weight of a convolution, of the stem, of a table and of the Fourier mixing becomes int8 and a
DequantizeLinear. Scales run along one axis, the one with the least rounding error; for mode mixing [K, C, 2·O]
that is the mode axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.budget_search import fit_budget
from pfnr_export.precisions.int8_graph import INT8_STEPS
from pfnr_export.precisions.judge import Judge
from pfnr_export.precisions.onnx_edit import copied, drop_unused, replace_nodes, stored

# Tensors below this many values stay float32: biases, constants of the output, small DFT matrices.
LEAST_WEIGHT_VALUES = 1024
# Transform matrices are exact constants, and their error would affect every mode at once.
MIXING_SUFFIX = "_fourier/weight"
WEIGHTED = {"Conv": 1, "Gemm": 1, "Gather": 0}  # operator: which input is its weight


def _convert(subject: Subject) -> Converted:
    names = weight_names(subject.model)
    tensors = stored(subject.model)
    packed = {name: quantise(numpy_helper.to_array(tensors[name])) for name in names}
    judge = Judge(subject)
    mixture = fit_budget(
        judge,
        {name: packed[name][0].size for name in names},
        lambda low: with_int8_weights(subject.model, packed, low),
        "int8-weights",
    )
    rows = [
        {
            "layer": name,
            "precision": "int8" if name in mixture.low else "fp32",
            "loss_alone": round(mixture.alone[name], 4),
            "axis": packed[name][2],
            "bytes": packed[name][0].size + 4 * packed[name][1].size
            if name in mixture.low
            else 4 * packed[name][0].size,
        }
        for name in names
    ]
    return Converted(mixture.model, judge.report(mixture.losses) | {"layers": rows})


def weight_names(model: onnx.ModelProto) -> list[str]:
    """Stored tensors that become int8, in the order the graph reads them."""
    tensors = stored(model)
    names = []
    for node in model.graph.node:
        candidates = [node.input[WEIGHTED[node.op_type]]] if node.op_type in WEIGHTED else []
        candidates += [name for name in node.input if name.endswith(MIXING_SUFFIX)]
        for name in candidates:
            tensor = tensors.get(name)
            if (
                tensor is not None
                and tensor.data_type == TensorProto.FLOAT
                and np.prod(tensor.dims) >= LEAST_WEIGHT_VALUES
            ):
                names.append(name)
    return list(dict.fromkeys(names))


def quantise(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32], int]:
    """Symmetric int8 values, scales and their axis: the one with the least squared error, the first if equal."""
    best: tuple[float, tuple[NDArray[np.int8], NDArray[np.float32], int]] | None = None
    for axis in range(weight.ndim):
        if weight.shape[axis] == 1 or weight.shape[axis] * 16 > weight.size:
            continue  # scales would be a large part of the weights
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = (np.abs(weight).max(axis=others) / INT8_STEPS).astype(np.float32)
        scale[scale == 0] = 1
        wide = np.expand_dims(scale, others)
        values = np.clip(np.rint(weight / wide), -INT8_STEPS, INT8_STEPS).astype(np.int8)
        error = float(np.square(values * wide - weight, dtype=np.float64).sum())
        if best is None or error < best[0]:
            best = error, (values, scale, axis)
    assert best is not None
    return best[1]


def with_int8_weights(
    model: onnx.ModelProto,
    packed: dict[str, tuple[NDArray[np.int8], NDArray[np.float32], int]],
    low: frozenset[str],
) -> onnx.ModelProto:
    """The model with the tensors named `low` stored as int8."""
    result = copied(model)
    dequantisers: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []
    for name in sorted(low):
        values, scale, axis = packed[name]
        parts: dict[str, NDArray[Any]] = {"int8": values, "scale": scale, "zero": np.zeros(len(scale), np.int8)}
        inputs = [f"{name}/{part}" for part in parts]
        added += [numpy_helper.from_array(v, i) for i, v in zip(inputs, parts.values(), strict=True)]
        output = f"{name}/dequantised"
        dequantisers.append(helper.make_node("DequantizeLinear", inputs, [output], name=output, axis=axis))
    for node in result.graph.node:
        for i, name in enumerate(node.input):
            if name in low:
                node.input[i] = f"{name}/dequantised"
    result.graph.initializer.extend(added)
    replace_nodes(result, [*dequantisers, *result.graph.node])
    drop_unused(result)
    return result


PRECISION = Precision("int8-weights", "weights stored in 8 bits, arithmetic in fp32", 0.1, _convert)
