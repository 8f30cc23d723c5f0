"""Int8 convolutions as explicit QuantizeLinear and DequantizeLinear, in a layout that engines run fast.

ONNX Runtime's quantiser does the quantising, with given ranges. Before it comes an exact rewrite of the float
graph around each convolution that becomes int8:

    conv ─ SiLU     becomes     conv/g ─ ·g ─ SiLU

- g holds a gain for each channel, so that all channels use the full range of the tensor's single scale.
- A value that is read twice, as by SiLU, makes ONNX Runtime duplicate its DequantizeLinear, and no int8
  convolution is left before it. The product with g is its single reader.

ONNX Runtime keeps int8 convolutions channels last, where the shuffles of whole pixels between them
(`pfnr_export.passes.subpixel`) move r·C adjacent bytes at a time and all other transpositions cancel out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pfnr_export.precisions.onnx_edit import (
    add_constant,
    copied,
    drop_unused,
    replace_nodes,
    sort_nodes,
    stored,
)

INT8_STEPS = 127


def quantised(
    model: onnx.ModelProto,
    layers: frozenset[str],
    limits: Mapping[str, float],
    gains: Mapping[str, NDArray[np.float32]],
) -> onnx.ModelProto:
    """The model with the convolutions named `layers` in int8.

    gains: by layer, a positive factor for each of its output channels. limits: by value (inputs of these
    convolutions, and outputs divided by the gains), the magnitude that becomes ±127. Weights are
    symmetric per output channel; activations symmetric per tensor with zero-point 0, as TensorRT requires.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    prepared = equalised(model, layers, gains)
    before = {node.name: list(node.input) for node in prepared.graph.node}
    ranges = {
        name: (np.array(-limit, np.float32), np.array(limit, np.float32))
        for node in prepared.graph.node
        if node.name in layers
        for name in (node.input[0], node.output[0])
        if (limit := limits[name])
    }
    quantiser = QDQQuantizer(
        copied(prepared),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=sorted(layers),
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv"],
        # Biases stay float32: TensorRT dequantises no int32.
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    quantiser.quantize_model()
    result: onnx.ModelProto = quantiser.model.model
    _restore_other_readers(result, before, layers)
    sort_nodes(result)
    drop_unused(result)
    # The quantiser adds domains that it does not use.
    del result.opset_import[:]
    result.opset_import.extend(model.opset_import)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def rescaled(model: onnx.ModelProto, limits: Mapping[str, float]) -> onnx.ModelProto:
    """A quantised model with different limits for activations: only their scales change."""
    result = copied(model)
    tensors = stored(result)
    for name, limit in limits.items():
        if (scale := tensors.get(f"{name}_scale")) is not None:
            scale.CopyFrom(numpy_helper.from_array(np.array(limit / INT8_STEPS, np.float32), scale.name))
    return result


def equalised(
    model: onnx.ModelProto, layers: frozenset[str], gains: Mapping[str, NDArray[np.float32]]
) -> onnx.ModelProto:
    """The float model with the module's rewrite around each convolution of `layers`."""
    result = copied(model)
    tensors = stored(result)
    gained = {node.output[0] for node in result.graph.node if node.name in layers}
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = f"{name}/gained" if name in gained else name
        nodes.append(node)
        if (value := node.output[0]) in gained:
            gain = add_constant(result, f"{value}/gain", gains[node.name].reshape(1, -1, 1, 1))
            for name in node.input[1:]:
                _divide_channels(tensors[name], gains[node.name])
            nodes.append(helper.make_node("Mul", [value, gain], [f"{value}/gained"], name=f"{value}/gained"))
    replace_nodes(result, nodes)
    return result


def _divide_channels(tensor: onnx.TensorProto, gain: NDArray[np.float32]) -> None:
    value = numpy_helper.to_array(tensor)
    divided = value / gain.reshape(-1, *[1] * (value.ndim - 1))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(divided), tensor.name))


def _restore_other_readers(
    model: onnx.ModelProto, before: Mapping[str, list[str]], layers: frozenset[str]
) -> None:
    """Let float nodes that share an input with an int8 convolution read the float value again."""
    converted = {node.output[0] for node in model.graph.node if node.name in layers}
    for node in model.graph.node:
        if node.name in before and node.name not in layers:
            for i, name in enumerate(before[node.name]):
                if name not in converted:
                    node.input[i] = name
