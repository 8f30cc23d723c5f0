"""Opening an artifact: what it promises is checked against what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.tiny_artifacts import contract, conv_model, model_of, save, table_model, video
from onnx import TensorProto, helper

from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.errors import ArtifactError


def test_a_good_artifact_is_described(table_file: Path) -> None:
    artifact = open_artifact(table_file)
    assert artifact.contract == contract()
    assert artifact.size == table_file.stat().st_size
    assert artifact.sha256 == hashlib.sha256(table_file.read_bytes()).hexdigest()


def test_a_batch_without_a_name_is_dynamic_too(tmp_path: Path) -> None:
    model = table_model()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
    assert open_artifact(save(model, tmp_path / "a.onnx")).contract.video.frames == 12


def changed_contract(**changes: Any) -> dict[str, str]:
    value = contract().to_json()
    for key, change in changes.items():
        if key == "fps":
            value["video"]["fps"] = change
        else:
            value[key] = change
    return {"pfnr": json.dumps(value)}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "without pfnr's metadata"),
        ({"pfnr": "{"}, "bad artifact metadata"),
        ({"pfnr": "[" * 100_000}, "bad artifact metadata"),
        ({"pfnr": "[]"}, "must be a JSON object"),
        (changed_contract(format_version=2), "artifact format 2.*install a matching pfnr"),
        (changed_contract(kind="hologram"), "kind 'hologram'"),
        (changed_contract(output="int3"), "output 'int3'"),
        (changed_contract(session=-1), "session -1"),
        (changed_contract(passes=3), "passes must be a list"),
        (changed_contract(quality=[1]), "passes must be a list and quality an object"),
        (changed_contract(quality={"psnr": 10**400}), "bad artifact metadata"),
        (changed_contract(fps="1e999999999"), "is not a fraction"),
        (changed_contract(fps="25/0"), "is not a fraction"),
        (changed_contract(fps="0/1"), "outside 0 to 1000"),
        (changed_contract(surprise=1), "unknown surprise"),
    ],
)
def test_metadata_that_breaks_the_contract_is_refused(
    metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = save(table_model(metadata=metadata), tmp_path / "bad.onnx")
    with pytest.raises(ArtifactError, match=message):
        open_artifact(path)


def broken(change: str) -> onnx.ModelProto:
    model = table_model()
    graph = model.graph
    if change == "input name":
        graph.input[0].name = graph.node[0].input[1] = "index"
    elif change == "input type":
        graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    elif change == "fixed batch":
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    elif change == "second input":
        graph.input.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, [3]))
    elif change == "output size":
        graph.output[0].type.tensor_type.shape.dim[1].dim_value = 99
    elif change == "output type":
        graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    elif change == "output name":
        graph.output[0].name = graph.node[0].output[0] = "pictures"
    elif change == "no output":
        del graph.output[:]
    elif change == "domain":
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    elif change == "opset":
        model.opset_import[0].version = 999
    elif change == "operator":
        graph.node[0].op_type = "RandomNormal"
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("input name", r"inputs are index: int64 \[B\]"),
        ("input type", "inputs are frame_index: int32"),
        ("fixed batch", "dynamic batch"),
        ("second input", "mask: bool"),
        ("output size", r"outputs are frames: uint8 \[B, 99, 64, 3\] where frames: uint8 \[B, 36, 64, 3\]"),
        ("output type", "frames: int8"),
        ("output name", "outputs are pictures"),
        ("no output", "outputs are none"),
        ("domain", "com.example"),
        ("opset", "opset 999"),
        ("operator", "RandomNormal"),
    ],
)
def test_graphs_that_do_not_keep_the_promise_are_refused(change: str, message: str, tmp_path: Path) -> None:
    path = save(broken(change), tmp_path / "broken.onnx")
    with pytest.raises(ArtifactError, match=message):
        open_artifact(path)


def test_external_data_written_by_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "external.onnx"
    onnx.save_model(conv_model(), path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(ArtifactError, match="external data"):
        open_artifact(path)


def test_a_library_is_recognised_and_the_way_on_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="pfnr-export"):
        open_artifact(tmp_path / "library.pfnr")


def test_a_float_artifact_needs_planes_first(tmp_path: Path) -> None:
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"])
    model = model_of(
        [node],
        {"table": np.zeros((12, 36, 64, 3), np.float32)},
        contract(video(), output="float32"),
        output_shape=["B", 36, 64, 3],
    )
    with pytest.raises(ArtifactError, match=r"float32 \[B, 3, 36, 64\]"):
        open_artifact(save(model, tmp_path / "a.onnx"))
