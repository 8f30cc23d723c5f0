"""Reading and rewriting ONNX graphs: producers, consumers and stored tensors.

Written by hand on protobuf messages, because an artifact's bytes are part of what is promised: onnx-ir reads and
writes a model back as different bytes, and ONNX Runtime's quantiser takes and gives messages anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """An independent copy."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def stored(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """By value, the nodes that read it, in order."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            found.setdefault(name, []).append(node)
    return found


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """By value, its inferred shape; None for a size that depends on the batch."""
    inferred = shape_inference.infer_shapes(model, strict_mode=True).graph
    return {
        value.name: tuple(
            d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def add_constant(model: onnx.ModelProto, name: str, value: NDArray[Any]) -> str:
    """Store a tensor under `name`, unless present; returns the name."""
    if all(tensor.name != name for tensor in model.graph.initializer):
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name


def replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Set the graph's nodes."""
    fresh = onnx.GraphProto()
    fresh.node.extend(nodes)
    del model.graph.node[:]
    model.graph.node.extend(fresh.node)


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort every node after those it reads from, otherwise keeping the order."""
    makers = {name: node for node in model.graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    done: set[str] = set()
    for last in model.graph.node:
        waiting = [last]
        while waiting:
            node = waiting[-1]
            missing = [
                makers[name] for name in node.input if name in makers and makers[name].output[0] not in done
            ]
            if missing:
                waiting += reversed(missing)
                continue
            waiting.pop()
            if node.output[0] not in done:
                done.add(node.output[0])
                ordered.append(node)
    replace_nodes(model, ordered)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove initializers that no node reads."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    fresh = onnx.GraphProto()
    fresh.initializer.extend(kept)
    del model.graph.initializer[:]
    model.graph.initializer.extend(fresh.initializer)


def conv_macs(conv: onnx.NodeProto, weight: Sequence[int], output: Sequence[int | None]) -> int:
    """Multiply-adds of a convolution for one frame. weight: its dimensions; output: [B, C, H, W]."""
    _, C, H, W = output
    assert C is not None
    assert H is not None
    assert W is not None
    return C * H * W * int(np.prod(weight[1:]))
