"""Running a model in ONNX Runtime on the CPU while it is being converted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pfnr_export.emit import serialise
from pfnr_runtime.artifact.contract import METADATA_KEY, OUTPUT_NAME, ArtifactContract
from pfnr_runtime.backends.base import to_pictures
from pfnr_runtime.backends.onnxruntime_cpu import available_cpus


class Engine:
    """A model ready to run, one frame at a time, so that memory holds one frame's activations.

    Frames are numbers, or positions between them if the model's contract is of continuous time.
    """

    def __init__(self, model: onnx.ModelProto, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or available_cpus()
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        about = {entry.key: entry.value for entry in model.metadata_props}
        self._contract = ArtifactContract.from_json(json.loads(about[METADATA_KEY]))
        self._session = ort.InferenceSession(serialise(model), options, providers=["CPUExecutionProvider"])

    def values(self, names: Sequence[str], frame: float) -> list[NDArray[Any]]:
        """The model's outputs of these names for one frame."""
        feed = {self._contract.input.name: self._contract.inputs_at(np.array([frame]))}
        found: list[NDArray[Any]] = self._session.run(list(names), feed)
        return found

    def picture(self, frame: float) -> NDArray[np.uint8]:
        """One frame, uint8 [H, W, 3], whatever the model's output."""
        [output] = self.values([OUTPUT_NAME], frame)
        pixels: NDArray[np.uint8] = to_pictures(output)[0]
        return pixels

    def pictures(self, frames: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
        """Frames one after another."""
        return (self.picture(frame) for frame in frames)


def with_outputs(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], names: Sequence[str]) -> onnx.ModelProto:
    """The model with more nodes, and with the float32 values called `names` among its outputs."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.node.extend(nodes)
    probed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return probed


def spread(frames: int, count: int) -> list[int]:
    """At most `count` frame numbers from 0 to frames − 1, evenly spaced and including both ends."""
    if count >= frames:
        return list(range(frames))
    return sorted({round(i * (frames - 1) / max(count - 1, 1)) for i in range(count)})
