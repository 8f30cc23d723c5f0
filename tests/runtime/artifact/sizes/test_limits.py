"""A small file cannot ask for much memory or time: it is refused before an engine sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.tiny_artifacts import (
    HEIGHT,
    WIDTH,
    between_model,
    contract,
    conv_model,
    float_table_model,
    model_of,
    picture_table,
    save,
    table_model,
    video,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pfnr_runtime.artifact.open import examine_artifact, open_artifact
from pfnr_runtime.artifact.sizes import limits
from pfnr_runtime.artifact.sizes.limits import limits_for
from pfnr_runtime.errors import ArtifactError, UsageError

Nodes = list[onnx.NodeProto]
Tensors = dict[str, NDArray[Any]]


def hostile(nodes: Nodes, tensors: Tensors, last: str) -> onnx.ModelProto:
    """A decoder whose frames come from its table, with other work that it does besides: `last` is a scalar."""
    tensors = {"table": picture_table(), "nothing": np.array(0, np.float32), **tensors}
    nodes = [
        helper.make_node("Cast", ["frame_index"], ["index"], to=TensorProto.FLOAT),
        *nodes,
        helper.make_node("Mul", [last, "nothing"], ["zero"]),
        helper.make_node("Gather", ["table", "frame_index"], ["looked_up"], axis=0),
        helper.make_node("Cast", ["looked_up"], ["bright"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["bright", "zero"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["frames"], to=TensorProto.UINT8),
    ]
    return model_of(nodes, tensors, contract())


def whole(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def sum_of(name: str, output: str) -> onnx.NodeProto:
    return helper.make_node("ReduceSum", [name], [output], keepdims=0)


def expanded() -> onnx.ModelProto:
    """One frame number as four gigabytes."""
    nodes = [helper.make_node("Expand", ["index", "wide"], ["much"]), sum_of("much", "total")]
    return hostile(nodes, {"wide": whole(1 << 30, 1)}, "total")


def made_when_loading() -> onnx.ModelProto:
    """Four gigabytes that an engine computes before the first frame, for they follow from the file."""
    nodes = [
        helper.make_node("ConstantOfShape", ["wide"], ["much"]),
        sum_of("much", "sum0"),
        helper.make_node("Add", ["sum0", "index"], ["total"]),
    ]
    return hostile(nodes, {"wide": whole(1 << 30)}, "total")


def transposed() -> onnx.ModelProto:
    """A transposed convolution that crops what it gives: its windows are what takes the memory."""
    nodes = [
        helper.make_node("Expand", ["index", "square"], ["map"]),
        helper.make_node("Expand", ["nothing", "kernel"], ["weight"]),
        helper.make_node("ConvTranspose", ["map", "weight"], ["small"], pads=[600, 600, 600, 600]),
        sum_of("small", "total"),
    ]
    return hostile(nodes, {"square": whole(1, 1, 600, 600), "kernel": whole(1, 1, 700, 700)}, "total")


def many_at_once() -> onnx.ModelProto:
    """Many values of moderate size that all live until the end."""
    nodes = [helper.make_node("Expand", ["index", "wide"], [f"v{i}"]) for i in range(40)]
    nodes += [helper.make_node("Sum", [f"v{i}" for i in range(40)], ["all"]), sum_of("all", "total")]
    return hostile(nodes, {"wide": whole(1 << 20, 1)}, "total")


def long_chain() -> onnx.ModelProto:
    """Values of moderate size one after another: little memory, much time."""
    nodes = [helper.make_node("Expand", ["index", "wide"], ["v0"])]
    nodes += [helper.make_node("Pow", [f"v{i}", f"v{i}"], [f"v{i + 1}"]) for i in range(30)]
    return hostile([*nodes, sum_of("v30", "total")], {"wide": whole(1 << 20, 1)}, "total")


def large_products() -> onnx.ModelProto:
    """Products of matrices that the file does not hold."""
    nodes = [helper.make_node("Expand", ["index", "square"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(9)]
    return hostile([*nodes, sum_of("m9", "total")], {"square": whole(1500, 1500)}, "total")


def wide_kernel() -> onnx.ModelProto:
    """A convolution with a kernel as large as its map."""
    nodes = [
        helper.make_node("Expand", ["index", "square"], ["map"]),
        helper.make_node("Expand", ["nothing", "kernel"], ["weight"]),
        helper.make_node("Conv", ["map", "weight"], ["c"], pads=[200, 200, 199, 199]),
        sum_of("c", "total"),
    ]
    return hostile(nodes, {"square": whole(1, 1, 400, 400), "kernel": whole(1, 1, 400, 400)}, "total")


def computed_size() -> onnx.ModelProto:
    """A size that depends on the frame."""
    nodes = [
        helper.make_node("Mul", ["frame_index", "times"], ["wide"]),
        helper.make_node("Expand", ["index", "wide"], ["much"]),
        sum_of("much", "total"),
    ]
    return hostile(nodes, {"times": whole(1 << 30)}, "total")


def many_nodes() -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", [f"v{i}" if i else "index"], [f"v{i + 1}"]) for i in range(5000)]
    return hostile(nodes, {}, "v5000")


def undefined() -> onnx.ModelProto:
    return hostile([sum_of("nowhere", "total")], {}, "total")


def defined_twice() -> onnx.ModelProto:
    return hostile([sum_of("index", "total"), sum_of("index", "total")], {}, "total")


def other_frames() -> onnx.ModelProto:
    """Frames of another size than promised."""
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"], axis=0)
    return model_of(
        [node], {"table": picture_table(video(width=32))}, contract(), output_shape=["B", HEIGHT, WIDTH, 3]
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (expanded, "GiB of memory.*'much'.*PFNR_MAX_MEMORY="),
        (made_when_loading, "GiB of memory"),
        (transposed, "GiB of memory"),
        (many_at_once, "GiB of memory"),
        (long_chain, "billion operations.*PFNR_MAX_OPERATIONS="),
        (large_products, "billion operations"),
        (wide_kernel, "billion operations"),
        (computed_size, "depends on what is computed"),
        (many_nodes, "nodes; at most 4096"),
        (undefined, "'nowhere' is not there"),
        (defined_twice, "'total' is there already"),
        (other_frames, "where .* is promised"),
    ],
)
def test_a_graph_that_asks_for_too_much_is_refused(
    make: Callable[[], onnx.ModelProto], said: str, tmp_path: Path
) -> None:
    path = save(make(), tmp_path / "v.onnx")
    with pytest.raises(ArtifactError, match=said) as caught:
        examine_artifact(path)
    assert "\n" not in str(caught.value)


def stored_otherwise(kind: str) -> onnx.ModelProto:
    """A stored number whose data is of another type than it says, or an attribute of another kind."""
    model = hostile([helper.make_node("Identity", ["odd"], ["total"])], {"odd": np.array(1, np.int32)}, "total")
    [tensor] = [t for t in model.graph.initializer if t.name == "odd"]
    tensor.ClearField("raw_data")
    if kind == "other field":
        tensor.float_data.append(1.0)
    else:
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, helper.make_node("Constant", [], ["odd"]))
        attribute = model.graph.node[0].attribute.add()
        attribute.name, attribute.type = "value_ints", onnx.AttributeProto.FLOATS
        attribute.floats.append(np.inf)
    return model


@pytest.mark.parametrize("kind", ["other field", "attribute"])
def test_data_of_another_type_than_it_says_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        examine_artifact(save(stored_otherwise(kind), tmp_path / "v.onnx"))


@pytest.mark.parametrize("make", [table_model, float_table_model, conv_model, between_model])
def test_ordinary_decoders_stay_far_below_the_limits(
    make: Callable[[], onnx.ModelProto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(make(), tmp_path / "v.onnx")
    assert open_artifact(path).most_at_once > 8
    monkeypatch.setattr(limits, "LEAST_MEMORY", limits.LEAST_MEMORY // 16)
    monkeypatch.setattr(limits, "LEAST_OPERATIONS", limits.LEAST_OPERATIONS // 16)
    open_artifact(path)


def test_a_user_who_trusts_a_file_raises_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(many_at_once(), tmp_path / "v.onnx")
    monkeypatch.setenv("PFNR_MAX_MEMORY", "1")
    assert open_artifact(path).contract == contract()
    monkeypatch.setenv("PFNR_MAX_OPERATIONS", "0.001")
    with pytest.raises(ArtifactError, match="billion operations"):
        open_artifact(path)


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf", "1e9"])
def test_a_limit_that_is_no_number_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PFNR_MAX_MEMORY", text)
    with pytest.raises(UsageError, match="PFNR_MAX_MEMORY"):
        limits_for(100, 100)


def test_frames_are_decoded_as_many_at_a_time_as_the_limit_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(conv_model(), tmp_path / "v.onnx")
    usual = open_artifact(path).most_at_once
    monkeypatch.setenv("PFNR_MAX_MEMORY", "0.001")
    few = open_artifact(path).most_at_once
    assert 1 <= few < usual


def test_a_graph_that_grows_with_the_square_of_its_batch_decodes_few_frames_at_a_time(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["index", "last"], ["column"]),
        helper.make_node("Unsqueeze", ["index", "first"], ["row"]),
        helper.make_node("MatMul", ["column", "row"], ["square"]),
        sum_of("square", "total"),
    ]
    path = save(hostile(nodes, {"last": whole(1), "first": whole(0)}, "total"), tmp_path / "v.onnx")
    artifact = open_artifact(path)
    video = artifact.contract.video
    limit = limits_for(video.width * video.height, artifact.summary.weights_bytes).memory
    assert artifact.most_at_once**2 * 4 <= limit
