"""Real ONNX decoders of a few kilobytes, built by hand, whose frames are known without running them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pfnr_runtime.artifact.contract import METADATA_KEY, ArtifactContract
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.record import Colour, VideoRecord
from pfnr_runtime.video.time_table import TimeEmbedding

FRAMES, HEIGHT, WIDTH = 12, 36, 64


def video(**changes: Any) -> VideoRecord:
    """A 12-frame video of 64×36 at 25 frames per second."""
    values: dict[str, Any] = {
        "name": "tiny",
        "frames": FRAMES,
        "width": WIDTH,
        "height": HEIGHT,
        "fps": Fraction(25),
        "sample_aspect": Fraction(1),
        "colour": Colour(),
        "source": "tiny.mp4",
    }
    return VideoRecord(**{**values, **changes})


# A slide, a burst, a slide, in milliseconds: twelve frames over ten seconds.
UNEVEN = FrameTimes.from_durations(Fraction(1, 1000), [4000, 33, 33, 34, 40, 40, 100, 20, 2700, 1000, 1000, 1000])


def uneven_video(**changes: Any) -> VideoRecord:
    """`video` with frames that appear at the times of `UNEVEN`."""
    return video(fps=UNEVEN.rate, times=UNEVEN, **changes)


def contract(record: VideoRecord | None = None, **changes: Any) -> ArtifactContract:
    """A valid contract for `record`."""
    values: dict[str, Any] = {
        "video": record or video(),
        "session": 0,
        "output": "uint8",
        "precision": "fp32",
        "lowering": "matmul",
        "passes": ("stem_table",),
        "weights_sha256": "0" * 64,
        "quality": {"psnr": 30.0},
        "producer": "pfnr tests",
    }
    return ArtifactContract(**{**values, **changes})


def picture_table(record: VideoRecord | None = None, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth moving pictures, uint8 [N, H, W, 3], every frame different."""
    record = record or video()
    rng = np.random.default_rng(seed)
    n, y, x = np.meshgrid(
        np.arange(record.frames), np.arange(record.height), np.arange(record.width), indexing="ij"
    )
    channels = [
        127.5 + 100 * np.sin(x * rng.uniform(0.02, 0.1) + y * rng.uniform(0.02, 0.1) + n * 0.4 + c * 2)
        for c in range(3)
    ]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def model_of(
    nodes: list[Any],
    tensors: dict[str, NDArray[Any]],
    about: ArtifactContract,
    *,
    metadata: dict[str, str] | None = None,
    output_shape: list[Any] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model with the contract's input, output and metadata around `nodes`."""
    size = about.video
    if about.output == "uint8":
        shape, kind = ["B", size.height, size.width, 3], TensorProto.UINT8
    else:
        shape, kind = ["B", 3, size.height, size.width], TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "decoder",
        [_input(about)],
        [helper.make_tensor_value_info("frames", kind, output_shape or shape)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: about.to_text()} if metadata is None else metadata)
    return model


def _input(about: ArtifactContract) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(about.input.dtype))
    return helper.make_tensor_value_info(about.input.name, kind, ["B", *about.input.row])


EMBEDDING = TimeEmbedding(1.25, 4, 0.5)


def between_weights() -> NDArray[np.float32]:
    """What `between_model` makes pictures from: float32 [4·L, H·W·3], few of the many it could be."""
    rng = np.random.default_rng(5)
    left, right = rng.standard_normal((EMBEDDING.width, 3)), rng.standard_normal((3, HEIGHT * WIDTH * 3))
    return (20 * left @ right).astype(np.float32)


def between_frames(positions: list[float], record: VideoRecord | None = None) -> NDArray[np.uint8]:
    """Its pictures at places in the video, uint8 [B, H, W, 3], computed here in float64."""
    rows = EMBEDDING.rows(np.array(positions), (record or video()).frames).astype(np.float64)
    pictures = np.clip(np.rint(rows @ between_weights().astype(np.float64) + 128), 0, 255)
    return pictures.astype(np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def between_model(record: VideoRecord | None = None) -> onnx.ModelProto:
    """A decoder of continuous time, whose pictures change steadily from one frame to the next."""
    tensors = {
        "weights": between_weights(),
        "grey": np.array(128, np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(255, np.float32),
        "shape": np.array([-1, HEIGHT, WIDTH, 3], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["time_embedding", "weights"], ["dense"]),
        helper.make_node("Add", ["dense", "grey"], ["lit"]),
        helper.make_node("Round", ["lit"], ["round"]),
        helper.make_node("Clip", ["round", "low", "high"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], ["picture"]),
        helper.make_node("Cast", ["picture"], ["frames"], to=TensorProto.UINT8),
    ]
    return model_of(nodes, tensors, contract(record, time_embedding=EMBEDDING))


def table_model(record: VideoRecord | None = None, **options: Any) -> onnx.ModelProto:
    """A decoder that looks its uint8 frames up: `picture_table(record)`."""
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"], axis=0, name="look_up")
    return model_of([node], {"table": picture_table(record)}, contract(record), **options)


def float_table_model(record: VideoRecord | None = None) -> onnx.ModelProto:
    """The same pictures as float32 [B, 3, H, W] in [0, 1]."""
    table = (picture_table(record).astype(np.float32) / 255).transpose(0, 3, 1, 2)
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"], axis=0, name="look_up")
    return model_of([node], {"table": np.ascontiguousarray(table)}, contract(record, output="float32"))


def conv_model(seed: int = 0) -> onnx.ModelProto:
    """A small network in the shape of the real ones: table, matmul, two convolutions, shuffle, uint8 tail."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    tensors = {
        "stem": rng.standard_normal((FRAMES, 160)).astype(np.float32),
        "fc": normal(160, 9 * 16 * 8) * np.float32(8),
        "grid": np.array([-1, 8, 9, 16], np.int64),
        "w1": normal(8 * 4, 8, 3, 3),
        "w2": normal(3 * 4, 8, 3, 3),
        "scale": np.array(255, np.float32),
        "low": np.array(0, np.float32),
    }

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(op, inputs, [output], name=output, **attributes)

    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Gather", ["stem", "frame_index"], "embedded", axis=0),
        node("MatMul", ["embedded", "fc"], "dense"),
        node("Relu", ["dense"], "active"),
        node("Reshape", ["active", "grid"], "map"),
        node("Conv", ["map", "w1"], "c1", **conv),
        node("DepthToSpace", ["c1"], "s1", blocksize=2, mode="CRD"),
        node("Sigmoid", ["s1"], "g1"),
        node("Mul", ["s1", "g1"], "a1"),
        node("Conv", ["a1", "w2"], "c2", **conv),
        node("DepthToSpace", ["c2"], "s2", blocksize=2, mode="CRD"),
        node("Sigmoid", ["s2"], "rgb"),
        node("Mul", ["rgb", "scale"], "scaled"),
        node("Clip", ["scaled", "low", "scale"], "clipped"),
        node("Round", ["clipped"], "rounded"),
        node("Transpose", ["rounded"], "last", perm=[0, 2, 3, 1]),
        node("Cast", ["last"], "frames", to=TensorProto.UINT8),
    ]
    return model_of(nodes, tensors, contract())


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write the model to `path` in one piece."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
