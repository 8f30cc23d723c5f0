"""Writing a decoder as an ONNX model with the artifact contract in its metadata."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from pfnr_export.graph import IR_VERSION, OPSET, Graph
from pfnr_export.layers import Decoder, OutputActivation, emit_all
from pfnr_export.passes.rewrite import replace_run
from pfnr_export.passes.subpixel import SubpixelShuffle
from pfnr_runtime.artifact.contract import (
    FRAME_INDEX,
    METADATA_KEY,
    OUTPUT_NAME,
    ArtifactContract,
    ArtifactInput,
    frame_shape,
)
from pfnr_runtime.artifact.onnx.file import MAX_FILE_BYTES
from pfnr_runtime.errors import UsageError


def emit(decoder: Decoder, contract: ArtifactContract) -> onnx.ModelProto:
    """The ONNX model of a decoder: `frame_index` int64 [B] or `time_embedding` float32 [B, 4L] in, `frames` out,
    as the contract says.
    """
    size = contract.video.height, contract.video.width
    return as_model(emit_graph(decoder, Graph(), contract.output, size, contract.input), contract.to_text())


def emit_graph(
    decoder: Decoder, graph: Graph, output: str, size: tuple[int, int], source: ArtifactInput = FRAME_INDEX
) -> onnx.GraphProto:
    """A decoder written into an empty graph. output: a key of `OUTPUT_KINDS`. size: a frame's height, width.
    source: the input that its first layer takes.
    """
    if output == "uint8":
        last, kind = _emit_pixels(decoder, graph, source.name), TensorProto.UINT8
    else:
        last, kind = emit_all(decoder, graph, source.name), TensorProto.FLOAT
    shape = ("batch", *frame_shape(output, *size))
    graph.nodes[-1].output[0] = OUTPUT_NAME
    assert graph.nodes[-1].name == last
    return helper.make_graph(
        graph.nodes,
        "pfnr",
        [_input(source), *graph.inputs],
        [helper.make_tensor_value_info(OUTPUT_NAME, kind, shape)],
        list(graph.initializers.values()),
    )


def _input(source: ArtifactInput) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(source.dtype))
    return helper.make_tensor_value_info(source.name, kind, ["batch", *source.row])


def as_model(proto: onnx.GraphProto, contract: str) -> onnx.ModelProto:
    """A graph as a model with its contract as JSON in the metadata."""
    model = helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="pfnr",
    )
    helper.set_model_props(model, {METADATA_KEY: contract})
    return model


def _emit_pixels(decoder: Decoder, graph: Graph, source: str) -> str:
    """Layers, then whole steps of 255, channels last, Cast: uint8 [B, H, W, 3]."""
    layers = decoder.layers()
    activation = layers[-1]
    assert isinstance(activation, OutputActivation)
    body = replace_run(decoder, len(layers) - 1, 1, {})
    shuffle = layers[-2] if isinstance(layers[-2], SubpixelShuffle) else None
    if shuffle is not None:
        body = replace_run(body, len(layers) - 2, 1, {})
    x = emit_all(body, graph, source)
    graph.scope = "pixels"
    x = activation.emit_steps(graph, x)
    x = graph.transpose(x, (0, 2, 3, 1))
    if shuffle is not None:
        x = shuffle.emit_pixels(graph, x)
    x = graph.node("Cast", [x], to=TensorProto.UINT8)
    graph.scope = ""
    return x


def serialise(model: onnx.ModelProto) -> bytes:
    """The file's bytes, deterministic; a UsageError beyond the limit of one ONNX file."""
    size = model.ByteSize()
    if size > MAX_FILE_BYTES:
        raise UsageError(
            f"the exported file would have {size:,} bytes; one ONNX file holds at most {MAX_FILE_BYTES:,}"
        )
    data: bytes = model.SerializeToString(deterministic=True)
    return data
