"""Where an engine leaves the right path: the first layer whose values are not those of exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import OUTPUT_NAME
from pfnr_runtime.artifact.exactness import FramesDigest
from pfnr_runtime.artifact.onnx.file import NodeInfo
from pfnr_runtime.backends.base import to_pictures
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError
from pfnr_runtime.proof.reference.graph import NotComputable, evaluate


@dataclass(frozen=True)
class FirstLayer:
    """The first layer that differs in a frame.

    - layer: its name, '' if none was found.
    - differing, values: how many of its values differ, and of how many.
    - why: for people, in one sentence without a full stop.
    """

    layer: str
    differing: int
    values: int
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"layer": self.layer, "differing": self.differing, "values": self.values, "why": self.why}


def first_layer(decoder: VideoDecoder, frame: int) -> FirstLayer:
    """Compare the engine's values of every layer with the graph's, evaluated in NumPy, for one frame.

    The engine runs once for each layer, with that layer's last value as one more output.
    """
    artifact = decoder.artifact
    try:
        data = artifact.read()
        name, output = "", np.zeros(0)
        for node, value in evaluate(data, artifact.summary, frame):
            name, output = node.outputs[0], value
    except NotComputable as error:
        return _nothing(f"which layer differs cannot be told, because the graph has {error}")
    exactness = decoder.contract.exactness
    assert exactness is not None
    check = exactness.frame_checks[2 * frame : 2 * frame + 2]
    pictures = to_pictures(output.astype(artifact.summary.outputs[0].dtype))
    if name != OUTPUT_NAME or FramesDigest().add_all(pictures).checks != check:
        return _nothing(
            "the file's own graph does not give that frame, whatever computes it, so the file was made wrongly or "
            "changed"
        )
    for layer, node, expected in _layers(evaluate(data, artifact.summary, frame)):
        try:
            found = decoder.value_at(node.outputs[0], frame)
        except BackendError as error:
            return _nothing(f"which layer differs cannot be told: {error}")
        if differing := _differing(found, expected):
            how_many = f"{differing:,} of {expected.size:,} values"
            why = f"the first layer that differs there is {layer} ({how_many})"
            return FirstLayer(layer, differing, expected.size, why)
    return _nothing(
        "each layer in front of the pixels is right there once the engine has to give its values: it goes wrong "
        "in the pixels or where it fuses layers"
    )


def _layers(nodes: Iterator[tuple[NodeInfo, NDArray[Any]]]) -> Iterator[tuple[str, NodeInfo, NDArray[Any]]]:
    """By layer, its last node and value, up to the pixels. A layer is a run of nodes of one scope."""
    for (node, value), (following, _) in pairwise(nodes):
        if _scope(following) != _scope(node) and value.dtype == np.float64:
            yield _scope(node), node, value


def _scope(node: NodeInfo) -> str:
    return node.name.rpartition("/")[0] or node.name


def _differing(found: NDArray[Any], expected: NDArray[Any]) -> int:
    if found.shape != expected.shape:
        return expected.size
    return int(np.count_nonzero(found.astype(np.float64) != expected))


def _nothing(why: str) -> FirstLayer:
    return FirstLayer("", 0, 0, why)
