"""The reader of ONNX files: agrees with onnx on good files, and survives anything on bad ones."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.tiny_artifacts import contract, conv_model, model_of, save, table_model, video
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pfnr_runtime.artifact.onnx.file import parse_model, summarise
from pfnr_runtime.artifact.onnx.wire import Reader, WireError
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.errors import ArtifactError

SMALL = table_model(video(frames=2, width=6, height=4)).SerializeToString(deterministic=True)
CONV = conv_model().SerializeToString(deterministic=True)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def check(data: bytes, path: Path) -> None:
    """Opening `data` either works or ends in an ArtifactError of one line that names the file."""
    path.write_bytes(data)
    try:
        open_artifact(path)
    except ArtifactError as error:
        message = str(error)
    else:
        return
    assert str(path) in message
    assert "\n" not in message


def test_summary_agrees_with_onnx() -> None:
    model, summary = onnx.load_model_from_string(CONV), parse_model(Reader(CONV))
    assert [n.op_type for n in summary.nodes] == [n.op_type for n in model.graph.node]
    assert [n.name for n in summary.nodes] == [n.name for n in model.graph.node]
    assert summary.opsets == {"": 20}
    assert summary.metadata["pfnr"] == model.metadata_props[0].value
    expected = [(t.name, tuple(t.dims), numpy_helper.to_array(t)) for t in model.graph.initializer]
    assert [(t.name, t.dims) for t in summary.initializers] == [(name, dims) for name, dims, _ in expected]
    assert [t.dtype for t in summary.initializers] == [str(a.dtype) for _, _, a in expected]
    assert [t.nbytes for t in summary.initializers] == [a.nbytes for _, _, a in expected]
    assert str(summary.inputs[0]) == "frame_index: int64 [B]"
    assert str(summary.outputs[0]) == "frames: uint8 [B, 36, 64, 3]"


def test_tensors_held_by_nodes_are_counted() -> None:
    value = numpy_helper.from_array(np.zeros((3, 5), np.float32), "value")
    nodes = [helper.make_node("Constant", [], ["unused"], value=value)]
    nodes += [helper.make_node("Gather", ["table", "frame_index"], ["frames"])]
    about = contract()
    model = model_of(nodes, {"table": np.zeros((12, 36, 64, 3), np.uint8)}, about)
    summary = parse_model(Reader(model.SerializeToString()))
    assert [(t.dims, t.nbytes) for t in summary.constants] == [((3, 5), 60)]
    assert summary.weights_bytes == 12 * 36 * 64 * 3 + 60


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (TensorProto.FLOAT, [1.0, 2.0]),
        (TensorProto.INT64, [1, -2]),
        (TensorProto.INT32, [7, -300]),
        (TensorProto.UINT8, [0, 255]),
        (TensorProto.DOUBLE, [1.0, 2.0]),
        (TensorProto.UINT64, [1, 2**40]),
        (TensorProto.FLOAT16, [1.0, 2.0]),
    ],
)
def test_tensors_stored_value_by_value_are_understood(dtype: int, values: list[float]) -> None:
    model = conv_model()
    model.graph.initializer.append(helper.make_tensor("typed", dtype, [2], values))
    tensor = parse_model(Reader(model.SerializeToString())).initializers[-1]
    assert (tensor.name, tensor.dims) == ("typed", (2,))


def test_every_truncation_of_a_file_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    for length in range(len(SMALL)):
        path.write_bytes(SMALL[:length])
        with pytest.raises(ArtifactError, match=r"cut\.onnx"):
            open_artifact(path)


@settings(max_examples=400, deadline=None)
@given(
    at=st.integers(0, len(SMALL) - 1),
    flip=st.integers(1, 255),
    more=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(1, 255)), max_size=4),
)
def test_flipped_bytes_give_a_named_error_or_a_valid_file(
    at: int, flip: int, more: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(SMALL)
    for position, change in [(at, flip), *more]:
        data[position] ^= change
    check(bytes(data), tmp_path_factory.getbasetemp() / "flipped.onnx")


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(SMALL)), inserted=st.binary(max_size=20), removed=st.integers(0, 20))
def test_spliced_bytes_give_a_named_error_or_a_valid_file(
    at: int, inserted: bytes, removed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(SMALL[:at] + inserted + SMALL[at + removed :], tmp_path_factory.getbasetemp() / "spliced.onnx")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_give_a_named_error(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_model(Reader(data))


def test_reading_never_copies_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(conv_model(), tmp_path / "conv.onnx")
    copied = 0

    class Counting(mmap.mmap):
        def __getitem__(self, key: int | slice) -> int | bytes:  # type: ignore[override]
            nonlocal copied
            copied += key.stop - key.start if isinstance(key, slice) else 1
            return super().__getitem__(key)

    monkeypatch.setattr(mmap, "mmap", Counting)
    summarise(path)
    assert 0 < copied < 10_000 < path.stat().st_size


HOSTILE = {
    "external data": (5, field(8, b"w") + field(13, field(1, b"location") + field(2, b"../x"))),
    "external data by location": (5, field(8, b"w") + b"\x70\x01"),
    "more bytes than the shape": (5, b"\x08\x02\x10\x01" + field(9, bytes(12))),
    "huge shape": (5, b"\x08" + varint(2**39) + b"\x08" + varint(2**39) + b"\x10\x01" + field(9, b"")),
    "negative size": (5, b"\x08" + varint(2**64 - 1) + b"\x10\x01" + field(9, b"")),
    "rank": (5, b"\x08\x01" * 100 + b"\x10\x01" + field(9, bytes(4))),
    "unknown type": (5, b"\x08\x01\x10\x63" + field(9, bytes(4))),
    "text tensor": (5, b"\x08\x01\x10\x08" + field(6, b"text")),
    "bad text": (5, field(8, b"\xff\xfe")),
    "subgraph": (1, field(4, b"If") + field(5, field(6, b""))),
    "sparse": (15, b""),
    "no operator": (1, field(3, b"name")),
    "sequence": (11, field(1, b"x") + field(2, field(4, b""))),
    "no type": (11, field(1, b"x")),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_parts_are_refused(case: str, tmp_path: Path) -> None:
    number, payload = HOSTILE[case]
    path = tmp_path / "hostile.onnx"
    path.write_bytes(b"\x08\x09" + field(7, field(number, payload)))
    with pytest.raises(ArtifactError, match="at byte"):
        summarise(path)


def test_deep_nesting_is_not_followed() -> None:
    nested = b""
    for _ in range(5000):
        nested = field(4, field(1, nested))
    with pytest.raises(WireError, match="not a plain tensor"):
        parse_model(Reader(b"\x08\x09" + field(7, field(11, field(1, b"x") + field(2, nested)))))


def test_a_file_of_nothing_but_fields_is_given_up_on() -> None:
    with pytest.raises(WireError, match="fields"):
        parse_model(Reader(b"\x08\x09" * 2_000_001))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "no such file"),
        ("empty", "is empty"),
        ("folder", "not a file"),
        ("text", "not an ONNX file"),
    ],
)
def test_things_that_are_not_artifacts_are_named(case: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.onnx"
    if case == "folder":
        path.mkdir()
    elif case != "missing":
        path.write_text("" if case == "empty" else "hello, this is no protobuf\n" * 9)
    with pytest.raises(ArtifactError, match=message):
        summarise(path)
