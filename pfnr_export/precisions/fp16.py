"""Half precision, strongly typed: every node has one type, and each change of type is an explicit Cast.

Stem, convolutions and head run in float16. The time or stem table, or the layer that reads the time embedding,
the Fourier block (whose transforms overflow in float16) and the output from its activation on stay float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pfnr_export.precisions.base import Converted, Precision, Subject
from pfnr_export.precisions.int8_ranges import magnitudes
from pfnr_export.precisions.judge import Judge, worst
from pfnr_export.precisions.onnx_edit import copied, drop_unused, replace_nodes, stored
from pfnr_runtime.artifact.contract import EMBEDDING_NAME, INPUT_NAME
from pfnr_runtime.errors import VerificationError

LARGEST_HALF = float(np.finfo(np.float16).max)  # 65504
SOURCES = {INPUT_NAME, EMBEDDING_NAME}
OUTPUT_SCOPES = ("pixels", "output")
FOURIER_SCOPE = "_fourier"


def _convert(subject: Subject) -> Converted:
    half = half_nodes(subject.model)
    _check_weights(subject.model, half)
    subject.progress.stage(f"fp16: ranges of {len(half)} values over {subject.frames} frames")
    _check_ranges(subject, half)
    judge = Judge(subject)
    model = in_half(subject.model, half)
    subject.progress.stage("fp16: all frames")
    losses = judge.losses(model, range(subject.frames))
    if not judge.inside(losses):
        raise VerificationError(
            f"fp16 loses {worst(losses):.4f} dB on its worst frame; the budget is {subject.budget:g} dB: allow "
            "more with a larger PSNR budget, or export fp32"
        )
    types = {"fp16": len(half), "fp32": len(subject.model.graph.node) - len(half)}
    return Converted(model, judge.report(losses) | {"nodes": types})


def half_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that run in float16, in order."""
    return [node.name for node in model.graph.node if not _stays_single(node)]


def _stays_single(node: onnx.NodeProto) -> bool:
    scopes = node.name.split("/")
    if SOURCES & set(node.input):
        return True
    return scopes[0] in OUTPUT_SCOPES or any(scope.endswith(FOURIER_SCOPE) for scope in scopes)


def in_half(model: onnx.ModelProto, half: list[str]) -> onnx.ModelProto:
    """The model with the nodes named `half` in float16, and a Cast wherever the type changes."""
    result, names = copied(model), set(half)
    tensors = stored(result)
    graph_outputs = {output.name for output in result.graph.output}
    made_half = {node.output[0] for node in result.graph.node if node.name in names}
    converted: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        wanted_half = node.name in names
        for i, name in enumerate(node.input):
            tensor = tensors.get(name)
            if tensor is not None:
                if wanted_half and tensor.data_type == TensorProto.FLOAT:
                    node.input[i] = _half_constant(result, converted, tensor)
            elif name not in SOURCES and (name in made_half) != wanted_half:
                node.input[i] = _cast(nodes, converted, name, wanted_half)
        nodes.append(node)
        if wanted_half and node.output[0] in graph_outputs:
            raise AssertionError(f"{node.name} is the output, which stays float32")
    replace_nodes(result, nodes)
    drop_unused(result)
    return result


def _half_constant(model: onnx.ModelProto, converted: dict[str, str], tensor: onnx.TensorProto) -> str:
    name = f"{tensor.name}/fp16"
    if tensor.name not in converted:
        converted[tensor.name] = name
        model.graph.initializer.append(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)
        )
    return name


def _cast(nodes: list[onnx.NodeProto], converted: dict[str, str], name: str, to_half: bool) -> str:
    cast = f"{name}/{'fp16' if to_half else 'fp32'}"
    if name not in converted:
        converted[name] = cast
        kind = TensorProto.FLOAT16 if to_half else TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [name], [cast], name=cast, to=kind))
    return cast


def _check_weights(model: onnx.ModelProto, half: list[str]) -> None:
    tensors, names = stored(model), set(half)
    for node in model.graph.node:
        for name in node.input if node.name in names else ():
            tensor = tensors.get(name)
            if tensor is None or tensor.data_type != TensorProto.FLOAT:
                continue
            largest = float(np.abs(numpy_helper.to_array(tensor)).max())
            if not largest <= LARGEST_HALF:
                raise VerificationError(
                    f"fp16 cannot hold {name} of node {node.name}: it reaches {largest:.4g}, and float16 ends at "
                    f"{LARGEST_HALF:g}; export int8 or fp32"
                )


def _check_ranges(subject: Subject, half: list[str]) -> None:
    """A VerificationError that names the first node and frame whose values leave float16."""
    by_name = {node.name: node for node in subject.model.graph.node}
    values = list(dict.fromkeys(v for n in half for v in (*_inputs(subject, by_name[n]), by_name[n].output[0])))
    places = subject.places(range(subject.frames))
    found = magnitudes(subject.model, values, places)
    bad = np.argwhere(~(found <= LARGEST_HALF))
    if len(bad):
        frame, index = (int(i) for i in bad[np.lexsort((bad[:, 0], bad[:, 1]))][0])
        raise VerificationError(
            f"fp16 overflows at {values[index]} in frame {places[frame]:g}: {found[frame, index]:.4g}, and "
            f"float16 ends at {LARGEST_HALF:g}; export int8 or fp32"
        )


def _inputs(subject: Subject, node: onnx.NodeProto) -> list[str]:
    constant = {tensor.name for tensor in subject.model.graph.initializer}
    return [name for name in node.input if name not in constant and name not in SOURCES]


PRECISION = Precision(
    "fp16", "stem, convolutions and head in float16, Fourier block and output fp32", 0.01, _convert
)
