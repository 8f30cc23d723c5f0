"""Shapes of operators that compute: elementwise, reductions, products, convolutions, resampling."""

from __future__ import annotations

import math

import numpy as np

from pfnr_runtime.artifact.sizes.movement import Rule
from pfnr_runtime.artifact.sizes.values import Call, Shape, SizeError, Value, axes_of, axis_of, broadcast


def _same(call: Call) -> list[Value]:
    value = call.value(0)
    return [Value(value.dtype, value.shape)]


def _elementwise(call: Call) -> list[Value]:
    shapes = [call.value(i).shape for i in range(len(call.inputs))]
    if not shapes:
        raise SizeError("no inputs")
    return [Value(call.value(0).dtype, broadcast(*shapes))]


def _comparison(call: Call) -> list[Value]:
    return [Value("bool", _elementwise(call)[0].shape)]


def _where(call: Call) -> list[Value]:
    return [Value(call.value(1).dtype, _elementwise(call)[0].shape)]


def _quantised(call: Call) -> list[Value]:
    """QuantizeLinear."""
    return [Value(call.value(2).dtype if call.has(2) else "uint8", call.value(0).shape)]


def _dequantised(call: Call) -> list[Value]:
    """DequantizeLinear."""
    return [Value(call.value(1).dtype, call.value(0).shape)]


def _dynamically_quantised(call: Call) -> list[Value]:
    """DynamicQuantizeLinear."""
    return [Value("uint8", call.value(0).shape), Value("float32", ()), Value("uint8", ())]


def _normalised(call: Call) -> list[Value]:
    """LayerNormalization: the value, then means and deviations."""
    value = call.value(0)
    axis = axis_of(call.integer("axis", -1), len(value.shape))
    reduced = (*value.shape[:axis], *(1 for _ in value.shape[axis:]))
    return [Value(value.dtype, value.shape), Value("float32", reduced), Value("float32", reduced)]


def _reduce(call: Call) -> list[Value]:
    shape = call.value(0).shape
    if call.has(1):
        given: tuple[int, ...] = call.numbers(1)
    else:
        given = call.integers("axes", ())
    if not given:
        if call.integer("noop_with_empty_axes", 0):
            return [Value(call.value(0).dtype, shape)]
        given = tuple(range(len(shape)))
    axes = axes_of(given, len(shape))
    if call.integer("keepdims", 1):
        return [Value(call.value(0).dtype, tuple(1 if i in axes else side for i, side in enumerate(shape)))]
    return [Value(call.value(0).dtype, tuple(side for i, side in enumerate(shape) if i not in axes))]


def _product(left: Shape, right: Shape) -> Shape:
    if not left or not right:
        raise SizeError("a matrix product with a scalar")
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    if left[-1] != (right[-2] if len(right) > 1 else right[0]):
        raise SizeError(f"a matrix product of {list(left)} and {list(right)}")
    return (*broadcast(left[:-2], right[:-2]), *rows, *columns)


def _matmul(call: Call) -> list[Value]:
    return [Value(call.value(0).dtype, _product(call.value(0).shape, call.value(1).shape))]


def _integer_matmul(call: Call) -> list[Value]:
    return [Value("int32", _product(call.value(0).shape, call.value(1).shape))]


def _qlinear_matmul(call: Call) -> list[Value]:
    return [Value(call.value(7).dtype, _product(call.value(0).shape, call.value(3).shape))]


def _gemm(call: Call) -> list[Value]:
    left, right = call.value(0).shape, call.value(1).shape
    if len(left) != 2 or len(right) != 2:
        raise SizeError(f"a matrix product of {list(left)} and {list(right)}")
    left = left[::-1] if call.integer("transA", 0) else left
    right = right[::-1] if call.integer("transB", 0) else right
    return [Value(call.value(0).dtype, _product(left, right))]


def _window(call: Call, size: Shape, kernel: Shape) -> Shape:
    """Sides of what a convolution or pool with this kernel gives for sides of this size."""
    n = len(size)
    strides, dilations = call.integers("strides", (1,) * n), call.integers("dilations", (1,) * n)
    pads = call.integers("pads", (0,) * 2 * n)
    if not len(kernel) == len(strides) == len(dilations) == len(pads) // 2 == n or len(pads) % 2:
        raise SizeError(f"a window of {len(kernel)} axes over {n}")
    if min((*kernel, *strides, *dilations), default=1) < 1:
        raise SizeError("a window with a side, stride or dilation below 1")
    how, up = call.text("auto_pad", "NOTSET"), call.integer("ceil_mode", 0)
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(-side // stride) for side, stride in zip(size, strides, strict=True))
    if how == "VALID":
        pads = (0,) * 2 * n
    elif how != "NOTSET":
        raise SizeError(f"auto_pad {how[:20]!r}")
    sides = []
    for i in range(n):
        room = size[i] + pads[i] + pads[i + n] - dilations[i] * (kernel[i] - 1) - 1
        sides.append((-(-room // strides[i]) if up else room // strides[i]) + 1)
    return tuple(sides)


def convolution_kernel(call: Call, index: int) -> tuple[Shape, Shape]:
    """The weight's first two sides, and its kernel's sides."""
    value, weight = call.value(0).shape, call.value(index).shape
    if len(weight) != len(value) or not 3 <= len(weight) <= 5:
        raise SizeError(f"a convolution of {list(value)} with {list(weight)}")
    if call.integers("kernel_shape", weight[2:]) != weight[2:]:
        raise SizeError(f"kernel_shape is not the weight's {list(weight[2:])}")
    return weight[:2], weight[2:]


def _convolved(call: Call, index: int) -> Shape:
    (out, channels), kernel = convolution_kernel(call, index)
    shape, groups = call.value(0).shape, call.integer("group", 1)
    if groups < 1 or shape[1] != channels * groups or out % groups:
        raise SizeError(f"{shape[1]} channels in {groups} groups, with {channels} in a weight")
    return (shape[0], out, *_window(call, shape[2:], kernel))


def _conv(call: Call) -> list[Value]:
    return [Value(call.value(0).dtype, _convolved(call, 1))]


def _integer_conv(call: Call) -> list[Value]:
    return [Value("int32", _convolved(call, 1))]


def _qlinear_conv(call: Call) -> list[Value]:
    return [Value(call.value(7).dtype, _convolved(call, 3))]


def _conv_transpose(call: Call) -> list[Value]:
    (channels, out), kernel = convolution_kernel(call, 1)
    shape, groups, n = call.value(0).shape, call.integer("group", 1), len(kernel)
    if groups < 1 or shape[1] != channels or channels % groups:
        raise SizeError(f"{shape[1]} channels in {groups} groups, with {channels} in a weight")
    if call.text("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in call.node.attributes:
        raise SizeError("a transposed convolution that does not write out its pads")
    strides, dilations = call.integers("strides", (1,) * n), call.integers("dilations", (1,) * n)
    pads, extra = call.integers("pads", (0,) * 2 * n), call.integers("output_padding", (0,) * n)
    if not len(strides) == len(dilations) == len(extra) == len(pads) // 2 == n or len(pads) % 2:
        raise SizeError(f"a window of {len(kernel)} axes with contradictory attributes")
    sides = tuple(
        strides[i] * (shape[2 + i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - pads[i + n]
        for i in range(n)
    )
    return [Value(call.value(0).dtype, (shape[0], out * groups, *sides))]


def _pool(call: Call) -> list[Value]:
    value = call.value(0)
    if not 3 <= len(value.shape) <= 5:
        raise SizeError(f"a pool of {list(value.shape)}")
    return [Value(value.dtype, (*value.shape[:2], *_window(call, value.shape[2:], call.integers("kernel_shape"))))]


def _resize(call: Call) -> list[Value]:
    value = call.value(0)
    if "axes" in call.node.attributes or call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise SizeError("a resize of some axes, or one that keeps its aspect")
    if call.has(3):
        sides = call.numbers(3)
    else:
        scales = call.value(2 if call.has(2) else 1).known
        if scales is None:
            raise SizeError("its size depends on what is computed")
        if scales.size != len(value.shape) or not all(0 < scale <= 1 << 20 for scale in scales.reshape(-1)):
            raise SizeError("scales that are no sizes")
        # In float32, as engines multiply.
        numbers = np.array(value.shape, np.float32) * scales.reshape(-1)
        sides = tuple(math.floor(number) for number in numbers.tolist())
    if len(sides) != len(value.shape):
        raise SizeError(f"{len(sides)} sizes for {len(value.shape)} axes")
    return [Value(value.dtype, sides)]


def _names(text: str) -> list[str]:
    return text.split()


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        _names("""Abs BatchNormalization Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish
        InstanceNormalization LeakyRelu Log Neg Not Reciprocal Relu Round Sigmoid Sign Sin Softmax Softplus
        Sqrt Swish Tanh"""),
        _same,
    ),
    **dict.fromkeys(_names("Add And Div Max Min Mod Mul Or PRelu Pow Sub Sum Xor"), _elementwise),
    **dict.fromkeys(_names("Equal Greater GreaterOrEqual Less LessOrEqual"), _comparison),
    **dict.fromkeys(_names("ReduceMax ReduceMean ReduceMin ReduceSum"), _reduce),
    "AveragePool": _pool,
    "Conv": _conv,
    "ConvInteger": _integer_conv,
    "ConvTranspose": _conv_transpose,
    "DequantizeLinear": _dequantised,
    "DynamicQuantizeLinear": _dynamically_quantised,
    "Gemm": _gemm,
    "LayerNormalization": _normalised,
    "MatMul": _matmul,
    "MatMulInteger": _integer_matmul,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantised,
    "Resize": _resize,
    "Where": _where,
}
