"""A packed video gives back its .onnx byte for byte, or a named error, and never takes memory that it need not."""

from __future__ import annotations

import contextlib
import hashlib
import random
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.libraries import COMBINES, small_config
from helpers.packing import grid_model
from helpers.tiny_artifacts import conv_model, table_model

from pfnr_runtime.artifact.open import ArtifactFile, examine_artifact
from pfnr_runtime.artifact.packed import derivations
from pfnr_runtime.artifact.packed.file import UNSEALED, dictionary, parts, read_packed, unpack
from pfnr_runtime.artifact.packed.pack import Origin, as_learned, pack
from pfnr_runtime.coding.numbers import write_number
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import ArtifactError, CodingError

MODEL, ORIGIN = grid_model(small_config("none"))
PACKED = pack(MODEL, ORIGIN)


@pytest.mark.parametrize("combine", COMBINES)
def test_every_network_comes_back_byte_for_byte(combine: str) -> None:
    model, origin = grid_model(small_config(combine))
    packed = pack(model, origin)
    assert unpack(packed).model == model
    assert pack(model, origin) == packed
    # Tables, matrices and copies are made again, so that only learned weights are in the file.
    learned = sum(tensor.size for tensor in origin.tensors.values())
    assert len(packed) < learned + 1500


@pytest.mark.parametrize("model", [conv_model(), table_model()])
def test_a_model_of_unknown_origin_comes_back_too(model) -> None:  # type: ignore[no-untyped-def]
    data = model.SerializeToString(deterministic=True)
    assert unpack(pack(data, Origin())).model == data


def test_what_no_derivation_gives_is_packed_as_it_is() -> None:
    tensors = {name: tensor + np.float32(1e-3) for name, tensor in ORIGIN.tensors.items()}
    packed = pack(MODEL, replace(ORIGIN, tensors=tensors))
    assert unpack(packed).model == MODEL
    assert len(packed) > len(PACKED)


def test_the_parts_add_up_to_the_file() -> None:
    assert sum(taken for _, taken in parts(PACKED)) == pytest.approx(len(PACKED))


def test_weights_on_a_grid_are_whole_numbers() -> None:
    learned = as_learned(np.array([0.0, 0.375, -2.0], np.float32))
    assert isinstance(learned, Quantised)
    assert (learned.integers.tolist(), learned.exponent) == ([0, 3, -16], -3)
    for values in ([np.pi, 1.0], [np.inf, 1.0], [np.nan], [1e-42, 1.0], [1.0, 2.0**-20]):
        assert not isinstance(as_learned(np.array(values, np.float32)), Quantised)


def test_it_opens_as_the_onnx_does(tmp_path: Path) -> None:
    path, onnx = tmp_path / "v.pfnv", tmp_path / "v.onnx"
    path.write_bytes(PACKED)
    onnx.write_bytes(MODEL)
    opened, plain = examine_artifact(path), examine_artifact(onnx)
    assert isinstance(opened, ArtifactFile)
    assert isinstance(plain, ArtifactFile)
    assert (opened.sha256, opened.summary, opened.contract) == (plain.sha256, plain.summary, plain.contract)
    assert (opened.size, plain.size) == (len(PACKED), len(MODEL))
    assert opened.read() == plain.read() == opened.model == MODEL


def test_every_cut_file_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.pfnv"
    for length in range(0, len(PACKED), 13):
        path.write_bytes(PACKED[:length])
        with pytest.raises(ArtifactError, match=r"cut\.pfnv"):
            examine_artifact(path)


def test_a_flipped_bit_never_decodes_to_something_else(tmp_path: Path) -> None:
    path, chance = tmp_path / "flipped.pfnv", random.Random(0)
    for _ in range(300):
        data = bytearray(PACKED)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with contextlib.suppress(ArtifactError):
            assert read_packed(path).model == MODEL


def test_another_file_of_that_name_and_another_version_are_named(tmp_path: Path) -> None:
    path = tmp_path / "v.pfnv"
    path.write_bytes(MODEL)
    with pytest.raises(ArtifactError, match="does not begin as a packed video does"):
        examine_artifact(path)
    path.write_bytes(b"pfnv\x03" + PACKED[5:])
    with pytest.raises(ArtifactError, match="version 3, and this pfnr reads versions 1 and 2"):
        examine_artifact(path)
    with pytest.raises(ArtifactError, match="no such file"):
        examine_artifact(tmp_path / "none.pfnv")


def test_another_digest_is_never_decoded() -> None:
    data = bytearray(PACKED)
    data[10] ^= 1
    with pytest.raises(CodingError, match="not what was packed"):
        unpack(bytes(data))


def file_with(text: bytes, size: int = len(MODEL), text_size: int | None = None) -> bytes:
    """A packed file with this text in place of the one it had."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=dictionary(UNSEALED))
    squeezed = squeezer.compress(text) + squeezer.flush()
    head = PACKED[:37] + write_number(size) + write_number(len(text) if text_size is None else text_size)
    return head + write_number(len(squeezed)) + squeezed


SHAPE = write_number(2) + write_number(1 << 30) + write_number(1 << 30)
LIES = {
    "model": file_with(b"", 2**28 + 1),
    "text": file_with(b"", len(MODEL), 2**28 + 1),
    "text's size": file_with(b"\0\0", len(MODEL), 2**20 + 2**10),
    "bomb": file_with(bytes(50_000_000), len(MODEL), 100),
    "sources": file_with(write_number(1 << 40)),
    "shape": file_with(write_number(1) + SHAPE + write_number(0)),
    "axes": file_with(write_number(1) + write_number(99)),
    "derivations": file_with(write_number(0) + write_number(1 << 40)),
    "kind": file_with(write_number(0) + write_number(1) + b"\xff" + bytes(20)),
    "patches": file_with(write_number(0) + write_number(1) + b"\0\0" + write_number(1 << 40)),
    "holes": file_with(write_number(0) + write_number(1) + bytes(20)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_takes_no_memory(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "lie.pfnv"
    path.write_bytes(LIES[lie])
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=r"lie\.pfnv"):
            examine_artifact(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("version", "model", "deflated_with"),
    [(1, "901496e8a6689d45", "f51548a62593f354"), (2, "2eae6e32e4bf2afc", "c5c429c48c59caad")],
)
def test_files_of_every_version_always_unpack(version: int, model: str, deflated_with: str) -> None:
    kept = read_packed(Path(__file__).with_name(f"version{version}.pfnv"))
    assert kept.sha256.startswith(model)
    assert hashlib.sha256(dictionary(version)).hexdigest().startswith(deflated_with)


@pytest.mark.parametrize(
    ("kind", "numbers", "reals", "sources", "shape"),
    [
        (derivations.TIME, (256, 0), (1.01, 0.5), [], (1 << 26, 1)),
        (derivations.STEM, (256, 0, 1, 0, 0, 0), (1.01, 0.5), [(1, 1)], (1 << 26, 1)),
        (derivations.STEM, (1, 0, 1, 0, 2, 0), (1.25, 0.5), [(1 << 16, 4), (1, 1 << 16)], (1 << 16, 1)),
        (derivations.COSINES, (11,), (), [], (1 << 16, 1 << 16)),
        (derivations.PLACES, (0, 11, 6), (), [(2, 1 << 16)], (1 << 16, 2)),
    ],
)
def test_a_table_larger_than_a_decoder_has_is_refused_before_it_is_computed(
    kind: int, numbers: tuple[int, ...], reals: tuple[float, ...], sources: list[tuple[int, int]],
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    learned = [np.zeros(size, np.float32) for size in sources]
    tracemalloc.start()
    try:
        with pytest.raises(CodingError, match="allowed"):
            derivations.Derivation(kind, numbers, reals).build(learned, shape)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_file_of_many_tables_is_refused() -> None:
    ramp = derivations.write_derivation(derivations.Derivation(derivations.COSINES, (11,)))
    with pytest.raises(CodingError, match="17 tables to compute; at most 16"):
        unpack(file_with(write_number(0) + write_number(17) + (ramp + write_number(0)) * 17))
