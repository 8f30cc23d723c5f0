"""Shapes of operators that move, copy, join and cut values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pfnr_runtime.artifact.onnx.tensor import DTYPES, TensorInfo
from pfnr_runtime.artifact.sizes.values import (
    MOST_ELEMENTS,
    Call,
    Shape,
    SizeError,
    Value,
    axes_of,
    axis_of,
    broadcast,
    known_value,
    value_of,
)

Rule = Callable[[Call], list[Value]]


def _like(call: Call, shape: Shape, index: int = 0) -> list[Value]:
    return [Value(call.value(index).dtype, shape)]


def _same(call: Call) -> list[Value]:
    return [call.value(0)._replace(fixed=False)]


def _cast(call: Call) -> list[Value]:
    number = call.integer("to")
    if number not in DTYPES:
        raise SizeError(f"a cast to element type {number}")
    return [Value(DTYPES[number][0], call.value(0).shape)]


def _cast_like(call: Call) -> list[Value]:
    return [Value(call.value(1).dtype, call.value(0).shape)]


def _reshape(call: Call) -> list[Value]:
    value, wanted = call.value(0), list(call.numbers(1))
    if call.integer("allowzero", 0) == 0:
        for axis, side in enumerate(wanted):
            if side == 0:
                wanted[axis] = value.shape[axis_of(axis, len(value.shape))]
    if wanted.count(-1) == 1:
        rest = math.prod(side for side in wanted if side != -1)
        wanted[wanted.index(-1)] = value.size // rest if rest else 0
    if min(wanted, default=0) < 0 or math.prod(wanted) != value.size:
        raise SizeError(f"{list(value.shape)} cannot become {list(call.numbers(1))}")
    return _like(call, tuple(wanted))


def _flatten(call: Call) -> list[Value]:
    shape = call.value(0).shape
    axis = call.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise SizeError(f"axis {axis} of {len(shape)}")
    axis = axis + len(shape) if axis < 0 else axis
    return _like(call, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _listed_axes(call: Call) -> tuple[int, ...] | None:
    """Axes that newer operators take as an input and older ones as an attribute."""
    if call.has(1):
        return call.numbers(1)
    return call.integers("axes") if "axes" in call.node.attributes else None


def _squeeze(call: Call) -> list[Value]:
    shape, given = call.value(0).shape, _listed_axes(call)
    axes = [i for i, side in enumerate(shape) if side == 1] if given is None else axes_of(given, len(shape))
    if any(shape[axis] != 1 for axis in axes):
        raise SizeError(f"{list(shape)} without axes {list(axes)}")
    return _like(call, tuple(side for axis, side in enumerate(shape) if axis not in axes))


def _unsqueeze(call: Call) -> list[Value]:
    shape, given = call.value(0).shape, _listed_axes(call)
    if given is None:
        raise SizeError("no axes")
    rank = len(shape) + len(given)
    axes, sides = axes_of(given, rank), iter(shape)
    return _like(call, tuple(1 if axis in axes else next(sides) for axis in range(rank)))


def _transpose(call: Call) -> list[Value]:
    shape = call.value(0).shape
    order = call.integers("perm", range(len(shape))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise SizeError(f"an order {list(order)} of {len(shape)} axes")
    return _like(call, tuple(shape[axis] for axis in order))


def _concat(call: Call) -> list[Value]:
    shapes = [call.value(i).shape for i in range(len(call.inputs))]
    if not shapes:
        raise SizeError("nothing to join")
    axis = axis_of(call.integer("axis"), len(shapes[0]))
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1 or len(set(map(len, shapes))) > 1:
        raise SizeError(f"shapes {', '.join(str(list(shape)) for shape in shapes[:4])} along axis {axis}")
    return _like(call, (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]))


def _split(call: Call) -> list[Value]:
    value, outputs = call.value(0), len(call.node.outputs)
    axis = axis_of(call.integer("axis", 0), len(value.shape))
    length = value.shape[axis]
    if call.has(1):
        sides = call.numbers(1)
    elif "split" in call.node.attributes:
        sides = call.integers("split")
    else:
        parts = max(1, call.integer("num_outputs", outputs))
        one = -(-length // parts)
        sides = tuple(max(0, min(one, length - i * one)) for i in range(outputs))
    if len(sides) != outputs or sum(sides) != length or min(sides, default=0) < 0:
        raise SizeError(f"{length} split into {list(sides)[:8]}")
    return [Value(value.dtype, (*value.shape[:axis], side, *value.shape[axis + 1 :])) for side in sides]


def _gather(call: Call) -> list[Value]:
    shape, rows = call.value(0).shape, call.value(1).shape
    axis = axis_of(call.integer("axis", 0), len(shape))
    return _like(call, (*shape[:axis], *rows, *shape[axis + 1 :]))


def _gather_elements(call: Call) -> list[Value]:
    return _like(call, call.value(1).shape)


def _gather_nd(call: Call) -> list[Value]:
    shape, rows, batch = call.value(0).shape, call.value(1).shape, call.integer("batch_dims", 0)
    if not rows or not 0 <= batch < min(len(shape), len(rows)) or batch + rows[-1] > len(shape):
        raise SizeError(f"indices {list(rows)} into {list(shape)}")
    return _like(call, (*rows[:-1], *shape[batch + rows[-1] :]))


def _expand(call: Call) -> list[Value]:
    return _like(call, broadcast(call.value(0).shape, call.numbers(1)))


def _tile(call: Call) -> list[Value]:
    shape, times = call.value(0).shape, call.numbers(1)
    if len(times) != len(shape):
        raise SizeError(f"{len(times)} repetitions of {len(shape)} axes")
    return _like(call, tuple(side * count for side, count in zip(shape, times, strict=True)))


def _pad(call: Call) -> list[Value]:
    shape = call.value(0).shape
    pads = call.numbers(1) if call.has(1) else call.integers("pads")
    axes = [axis_of(axis, len(shape)) for axis in call.numbers(3)] if call.has(3) else list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise SizeError(f"{len(pads)} pads for {len(axes)} axes")
    sides = list(shape)
    for i, axis in enumerate(axes):
        sides[axis] += pads[i] + pads[i + len(axes)]
    return _like(call, tuple(sides))


def _slice(call: Call) -> list[Value]:
    shape = call.value(0).shape
    if call.has(1):
        starts, ends = call.numbers(1), call.numbers(2)
        axes = call.numbers(3) if call.has(3) else tuple(range(len(starts)))
        steps = call.numbers(4) if call.has(4) else (1,) * len(starts)
    else:
        starts, ends = call.integers("starts"), call.integers("ends")
        axes, steps = call.integers("axes", range(len(starts))), (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise SizeError("a slice of contradictory bounds")
    sides = list(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, len(shape))
        sides[axis] = len(range(*slice(start, _end(end, shape[axis], step), step).indices(shape[axis])))
    return _like(call, tuple(sides))


def _end(end: int, length: int, step: int) -> int | None:
    """Where a slice ends: ONNX writes "before the first" as a number below -length."""
    return None if step < 0 and end < -length else end


def _depth_to_space(call: Call) -> list[Value]:
    shape, block = call.value(0).shape, call.integer("blocksize")
    if len(shape) != 4 or block < 1 or shape[1] % block**2:
        raise SizeError(f"blocks of {block} in {list(shape)}")
    return _like(call, (shape[0], shape[1] // block**2, shape[2] * block, shape[3] * block))


def _space_to_depth(call: Call) -> list[Value]:
    shape, block = call.value(0).shape, call.integer("blocksize")
    if len(shape) != 4 or block < 1 or shape[2] % block or shape[3] % block:
        raise SizeError(f"blocks of {block} in {list(shape)}")
    return _like(call, (shape[0], shape[1] * block**2, shape[2] // block, shape[3] // block))


def _shape(call: Call) -> list[Value]:
    shape = call.value(0).shape
    kept = shape[call.integer("start", 0) : call.integer("end", len(shape))]
    return [known_value("int64", np.array(kept, np.int64))]


def _size(call: Call) -> list[Value]:
    return [known_value("int64", np.array(call.value(0).size, np.int64))]


def _constant(call: Call) -> list[Value]:
    match dict(call.node.attributes):
        case {"value": TensorInfo() as tensor}:
            return [value_of(tensor)]
        case {"value_int": int(number)}:
            return [known_value("int64", np.array(number))]
        case {"value_float": float(real)}:
            return [known_value("float32", np.array(real))]
        case {"value_ints": _}:
            return [known_value("int64", np.array(call.integers("value_ints"), np.int64))]
        case {"value_floats": tuple(reals)} if not isinstance(reals, TensorInfo):
            return [known_value("float32", np.array(reals, np.float32))]
    raise SizeError("a constant without a value")


def _constant_of_shape(call: Call) -> list[Value]:
    given = call.node.attributes.get("value")
    return [Value(given.dtype if isinstance(given, TensorInfo) else "float32", call.numbers(0))]


def _range(call: Call) -> list[Value]:
    start, limit, step = (call.value(i).known for i in range(3))
    if start is None or limit is None or step is None or not start.size == limit.size == step.size == 1:
        raise SizeError("its size depends on what is computed")
    first, last, delta = (n.reshape(-1)[0] for n in (start, limit, step))
    if delta == 0 or not np.isfinite([first, last, delta]).all():
        raise SizeError(f"a range from {first:g} to {last:g} by {delta:g}")
    if start.dtype.kind == "f":
        with np.errstate(over="ignore"):  # rounded as engines round
            count = math.ceil(min(float(last - first) / float(delta), 2.0 * MOST_ELEMENTS))
    else:
        count = -((int(first) - int(last)) // int(delta))
    return _like(call, (max(count, 0),))


RULES: dict[str, Rule] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _same,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
