"""What one node costs an engine besides its outputs: operations, and working memory of convolutions.

An operation is a multiply-add of a matrix product, of which a processor core does some 20 billion a second. What
else is done to an element counts as so many of these as take about as long.
"""

from __future__ import annotations

import math

from pfnr_runtime.artifact.sizes.arithmetic import convolution_kernel
from pfnr_runtime.artifact.sizes.values import Call, Value

MOVED, COMPUTED = 16, 256
_SLOWER = """
    BatchNormalization Cos DynamicQuantizeLinear Erf Exp GatherElements GatherND Gelu
    InstanceNormalization LayerNormalization Log Mod Pow Resize Sin Softmax Softplus Tanh Tile
"""
_SLOW = frozenset(_SLOWER.split())
# Index of the weight of each convolution.
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_FLOAT_BYTES = 4
_FAST = ("float32", "float16", "bfloat16")


def operations(call: Call, outputs: list[Value]) -> int:
    """How many operations a node takes."""
    made, kind = sum(value.size for value in outputs), call.node.op_type
    read = max((value.size for value in call.inputs if value is not None), default=0)
    each = COMPUTED if kind in _SLOW else MOVED
    if kind in _CONVOLUTIONS:
        (_, channels), kernel = convolution_kernel(call, _CONVOLUTIONS[kind])
        return made * (channels * math.prod(kernel) + MOVED)
    if kind == "ConvTranspose":
        (_, out), kernel = convolution_kernel(call, 1)
        return call.value(0).size * out * math.prod(kernel) + made * MOVED
    if kind in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        length = (call.value(0).shape or (1,))[-1]
        # Engines have no fast product of wide integers.
        return made * (length * (1 if outputs[0].dtype in _FAST or kind != "MatMul" else MOVED) + MOVED)
    if kind == "Gemm":
        shape = call.value(0).shape
        length = shape[0 if call.integer("transA", 0) else 1]
        return made * (length * (1 if outputs[0].dtype in _FAST else MOVED) + MOVED)
    if kind == "AveragePool":
        return made * (math.prod(call.integers("kernel_shape")) + MOVED)
    if kind.startswith("Reduce") or kind in _SLOW:
        return max(made, read) * each
    return made * each


def workspace(call: Call, outputs: list[Value]) -> int:
    """Bytes that ONNX Runtime takes for a node while it runs, besides what enters and leaves it."""
    kind = call.node.op_type
    if kind == "ConvTranspose":
        (_, out), kernel = convolution_kernel(call, 1)
        return _FLOAT_BYTES * out * math.prod(kernel) * math.prod(call.value(0).shape[2:])
    if kind in _CONVOLUTIONS:
        (filters, channels), kernel = convolution_kernel(call, _CONVOLUTIONS[kind])
        places = math.prod(outputs[0].shape[2:])
        if math.prod(kernel) == 1 or (len(kernel) == 2 and kind == "Conv" and filters <= places):
            return 0  # no copy of each window, or only of as many at a time as fit a cache
        return _FLOAT_BYTES * channels * math.prod(kernel) * places
    return 0
