"""A model's structure without its weights, and the type of every value in it."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from pfnr_runtime.errors import PfnrError

# Integers up to this size (shapes, axes, bounds) stay, since shape inference needs them.
_SMALL = 1024


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with large stored tensors turned into inputs: types and shapes stay, weights do not."""
    graph = model.graph
    copy = onnx.ModelProto()
    copy.ir_version = model.ir_version
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    copy.graph.name = graph.name
    copy.graph.node.extend(graph.node)
    copy.graph.input.extend(graph.input)
    copy.graph.output.extend(graph.output)
    named = {value.name for value in graph.input}
    for tensor in graph.initializer:
        integers = tensor.data_type in (TensorProto.INT64, TensorProto.INT32)
        if integers and tensor.ByteSize() <= _SMALL:
            copy.graph.initializer.append(tensor)
        elif tensor.name not in named:
            copy.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return copy


def value_types(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int | str | None, ...] | None]]:
    """By value name: element type (`onnx.TensorProto` number) and shape, None where unknown.

    A PfnrError where the model's types do not fit together.
    """
    try:
        typed = shape_inference.infer_shapes(skeleton(model), check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises several kinds, some of them plain Exception
        reason = str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__
        raise PfnrError(f"the model's types or shapes do not fit together: {reason}") from None
    graph = typed.graph
    types: dict[str, tuple[int, tuple[int | str | None, ...] | None]] = {}
    for tensor in graph.initializer:
        types[tensor.name] = (tensor.data_type, tuple(tensor.dims))
    for value in [*graph.input, *graph.value_info, *graph.output]:
        kind = value.type.tensor_type
        shape = None
        if kind.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim)
        types[value.name] = (kind.elem_type, shape)
    return types


def type_name(element_type: int) -> str:
    """'float32' for `TensorProto.FLOAT`."""
    if element_type not in TensorProto.DataType.values():
        return f"type {element_type}"
    try:
        return str(helper.tensor_dtype_to_np_dtype(element_type))
    except (KeyError, TypeError, ValueError):
        return str(TensorProto.DataType.Name(element_type)).lower()


def stored_zero(tensor: onnx.TensorProto) -> bool:
    """Whether a stored tensor is zero throughout."""
    return not numpy_helper.to_array(tensor).any()
