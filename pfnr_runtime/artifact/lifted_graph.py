"""A shared graph with its masks taken out, for engines that would apply them on every frame.

    file:    weight ─┐                                   lifted:   weight.masked (an input) ─▶ Conv ...
             mask ───┴─ Where ─ weight.masked ─▶ Conv ...

The file's graph applies every mask in every run. Masks change only when the session does, so the lifted model
takes the masked weights as inputs instead, and the host applies the masks once per session
(`pfnr_runtime.artifact.masked_weights`). Nothing else differs: same nodes, same constants, same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import MASK_SUFFIX, MASKED_SUFFIX, graph_digest
from pfnr_runtime.artifact.onnx.tensor import read_tensor
from pfnr_runtime.artifact.onnx.wire import Reader, Span, WireError, write_message, write_varint
from pfnr_runtime.artifact.open import SharedFile
from pfnr_runtime.errors import ArtifactError

FLOAT = 1  # ONNX's number for float32


@dataclass(frozen=True)
class SharedWeight:
    """One weight with masks. mask: the file's bool input. masked: the lifted model's input.

    data: the stored values as bytes, uint8 [4·n], at any alignment.
    """

    mask: str
    masked: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class LiftedGraph:
    """model: the ONNX bytes without shared weights and masks. weights: what was taken out."""

    model: bytes
    weights: tuple[SharedWeight, ...]


def lift(graph: SharedFile) -> LiftedGraph:
    """Take the masks out of a shared graph; reads the whole file and checks its digest.

    An ArtifactError if the file contradicts its contract.
    """
    try:
        return _lift(graph)
    except WireError as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot be read ({error})"
    raise ArtifactError(f"{graph.path}: {problem}; copy or export the shared graph again")


def _lift(graph: SharedFile) -> LiftedGraph:
    data = graph.path.read_bytes()
    view, model = memoryview(data), bytearray()
    weights: tuple[SharedWeight, ...] = ()
    start = 0
    for item in Reader(data).whole().fields():
        if item.number == 7:
            span = item.message()
            opset = graph.summary.opsets.get("", 0)
            digest = graph_digest(graph.summary.ir_version, opset, view[span.start : span.end])
            if digest != graph.contract.graph_sha256:
                raise WireError(
                    f"damaged: its graph is {digest[:16]}…, not {graph.contract.graph_sha256[:16]}…,", 0
                )
            lifted, weights = _lift_graph(span, view)
            model += write_message(7, lifted)
        elif item.number != 14:  # engines do not need our metadata
            model += view[start : item.span.end]
        start = item.span.end
    return LiftedGraph(bytes(model), weights)


def _lift_graph(graph: Span, view: memoryview) -> tuple[bytes, tuple[SharedWeight, ...]]:
    masked = _masked_weights(graph)
    kept, weights = bytearray(), []
    start = graph.start
    for item in graph.fields():
        keep = True
        match item.number:
            case 1:
                keep = not _is_mask(item.message())
            case 5:
                span = item.message()
                name = read_tensor(span).name
                if name in masked:
                    weights.append(_shared_weight(span, view))
                    keep = False
            case 11:
                name = _texts(item.message(), 1)[0]
                keep = not (name.endswith(MASK_SUFFIX) and name.removesuffix(MASK_SUFFIX) in masked)
        if keep:
            kept += view[start : item.span.end]
        start = item.span.end
    if {weight.masked for weight in weights} != set(masked.values()):
        raise WireError("a mask without a stored weight", graph.start)
    for weight in weights:
        kept += write_message(11, _float_input(weight.masked, weight.shape))
    return bytes(kept), tuple(weights)


def _masked_weights(graph: Span) -> dict[str, str]:
    """Name of each masked weight by the name of the stored one."""
    spans = (item.message() for item in graph.fields() if item.number == 1)
    nodes = ((_texts(span, 1), _texts(span, 2)) for span in spans if _is_mask(span))
    return {inputs[1]: outputs[0] for inputs, outputs in nodes}


def _is_mask(node: Span) -> bool:
    """Whether a node is a mask on a weight: w.masked = Where(w.mask, w, 0)."""
    inputs, outputs = _texts(node, 1), _texts(node, 2)
    return (
        _texts(node, 4) == ["Where"]
        and len(inputs) == 3
        and inputs[0] == inputs[1] + MASK_SUFFIX
        and outputs == [inputs[1] + MASKED_SUFFIX]
    )


def _shared_weight(span: Span, view: memoryview) -> SharedWeight:
    tensor = read_tensor(span)
    raw = next((item.message() for item in span.fields() if item.number == 9), None)
    if raw is None or tensor.dtype != "float32":
        raise WireError(f"weight {tensor.name!r} is not stored as raw float32", span.start)
    data = np.frombuffer(view[raw.start : raw.end], np.uint8)
    return SharedWeight(tensor.name + MASK_SUFFIX, tensor.name + MASKED_SUFFIX, tensor.dims, data)


def _float_input(name: str, shape: tuple[int, ...]) -> bytes:
    """An ONNX ValueInfoProto: a float32 tensor of fixed shape."""
    sizes = b"".join(write_message(1, write_varint(1, size)) for size in shape)
    tensor_type = write_varint(1, FLOAT) + write_message(2, sizes)
    return write_message(1, name.encode()) + write_message(2, write_message(1, tensor_type))


def _texts(span: Span, number: int) -> list[str]:
    return [item.text() for item in span.fields() if item.number == number]
