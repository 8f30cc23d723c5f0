"""Tensors come back from their bytes as they went in, the bytes are few, and damaged ones are refused."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pfnr_runtime.coding.decode import coded_sizes, decode_tensors
from pfnr_runtime.coding.encode import coded_bits, encode_tensors
from pfnr_runtime.coding.laplace import tables
from pfnr_runtime.coding.quantised import Quantised, Shapes, Tensor, Tensors
from pfnr_runtime.coding.rans import RunDecoder, encode
from pfnr_runtime.errors import CodingError

SHAPES = st.lists(st.integers(0, 9), min_size=0, max_size=5).map(tuple)
SCALES = st.sampled_from([0.01, 0.3, 2.0, 50.0, 3000.0, 1e6])


def laplace(shape: tuple[int, ...], scale: float, seed: int = 0, exponent: int = -6) -> Quantised:
    """Rounded Laplace values, the scale of each row and column another."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(0, scale, shape)
    for axis in range(len(shape)):
        values *= np.exp2(rng.normal(0, 1, [n if i == axis else 1 for i, n in enumerate(shape)]))
    return Quantised(np.clip(np.rint(values), -(2**24), 2**24).astype(np.int32), exponent)


def shapes_of(tensors: Tensors) -> Shapes:
    """What a reader must know."""
    return {n: (t.integers if isinstance(t, Quantised) else t).shape for n, t in tensors.items()}


def assert_same(got: Tensors, wanted: Tensors) -> None:
    """Equal names, kinds, exponents and bits."""
    assert set(got) == set(wanted)
    for name, tensor in wanted.items():
        found = got[name]
        if isinstance(tensor, Quantised):
            assert isinstance(found, Quantised)
            assert found.exponent == tensor.exponent
            np.testing.assert_array_equal(found.integers, tensor.integers)
        else:
            assert not isinstance(found, Quantised)
            assert found.tobytes() == tensor.tobytes()


def a_session() -> dict[str, Tensor]:
    """Every kind of tensor, small."""
    return {
        "conv": laplace((16, 4, 3, 3), 1.0),
        "stem": laplace((40, 30), 0.1),
        "head": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
        "nothing": Quantised(np.zeros((7, 3), np.int32), 2),
        "wide": laplace((3, 50), 4000.0),
    }


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 99), exponent=st.integers(-100, 100))
def test_integers_come_back(shape: tuple[int, ...], scale: float, seed: int, exponent: int) -> None:
    tensors = {"w": laplace(shape, scale, seed, exponent)}
    assert_same(decode_tensors(encode_tensors(tensors), shapes_of(tensors)), tensors)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-(2**24), 2**24), max_size=300))
def test_any_integers_come_back(values: list[int]) -> None:
    tensors = {"w": Quantised(np.array(values, np.int32), 0)}
    assert_same(decode_tensors(encode_tensors(tensors), shapes_of(tensors)), tensors)


def test_a_session_comes_back_whatever_the_order_of_its_names() -> None:
    tensors = a_session()
    data = encode_tensors(tensors)
    assert encode_tensors(dict(reversed(tensors.items()))) == data
    assert_same(decode_tensors(data, dict(reversed(shapes_of(tensors).items()))), tensors)
    assert coded_bits(tensors) == 8 * len(data)


def test_the_sizes_of_the_tensors_add_up() -> None:
    tensors = {f"w{i}": laplace((64, 16, 3, 3), 1.0, i) for i in range(3)}
    data = encode_tensors(tensors)
    sizes = coded_sizes(data, shapes_of(tensors))
    assert sum(sizes.values()) == pytest.approx(len(data), rel=0.02)


def test_values_are_integers_times_the_step() -> None:
    tensor = Quantised(np.array([-(2**24), -1, 0, 5, 2**24], np.int32), -7)
    np.testing.assert_array_equal(tensor.values(), tensor.integers.astype(np.float64) / 128)
    assert tensor.values().dtype == np.float32


@pytest.mark.parametrize(
    ("integers", "exponent", "what"),
    [
        (np.array([1], np.int32), 101, "step of 2\\^101"),
        (np.array([1], np.int64), 0, "int64"),
        (np.array([2**24 + 1], np.int32), 0, "16777216 steps"),
    ],
)
def test_a_tensor_that_is_not_exact_is_refused(integers: NDArray[np.int32], exponent: int, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Quantised(integers, exponent)


def ideal_bits(tensor: Quantised, axes: tuple[int, ...]) -> float:
    """Bits of a Laplace model whose scale is the mean magnitude along these axes; the scales are free."""
    q = np.abs(tensor.integers).astype(np.float64)
    mean = np.maximum(q.mean(axes, keepdims=True), 1e-9)
    s = (np.sqrt(1 + 4 * mean * mean) - 1) / (2 * mean)
    p = np.where(q == 0, 1 - s, s ** (2 * np.maximum(q, 1) - 1) * (1 - s * s) / 2)
    return float(-np.log2(p).sum())


def test_a_dense_tensor_takes_what_its_entropy_is() -> None:
    rng = np.random.default_rng(1)
    dense = Quantised(np.rint(rng.laplace(0, 3, (200, 32, 3, 3))).astype(np.int32), 0)
    assert coded_bits({"w": dense}) < 1.006 * ideal_bits(dense, (0, 1, 2, 3))


def test_scales_of_rows_and_columns_are_learnt_for_less_than_coding_them_takes() -> None:
    sparse = laplace((1000, 100), 0.05, seed=3)
    best = min(ideal_bits(sparse, (0,)), ideal_bits(sparse, (1,)))
    assert coded_bits({"w": sparse}) < 0.93 * best


def test_tables_are_whole_and_never_change() -> None:
    frequency = tables().frequency.reshape(64, 256)
    assert (frequency.sum(axis=1) == 1 << 14).all()
    assert (frequency[:, 0] > 0).all()
    assert (frequency[:, -1] > 0).all()
    digest = hashlib.sha256(frequency.astype("<u2").tobytes()).hexdigest()
    assert digest[:16] == "5581c1b0fa8a6845"


def test_bytes_never_change() -> None:
    n = np.arange(5 * 4 * 9)
    integers = ((n * n * 2654435761 >> 20) % 13 - 6).reshape(5, 4, 3, 3).astype(np.int32)
    data = encode_tensors({"w": Quantised(integers, -5)})
    assert hashlib.sha256(data).hexdigest()[:16] == "019db7e29e9c3bd8"


@pytest.mark.parametrize("symbols", [0, 1, 5, 40_000])
def test_a_stream_of_any_length_comes_back(symbols: int) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 64, symbols)
    wanted = rng.integers(0, 3, symbols)
    stream = encode(
        [(classes[: symbols // 3], wanted[: symbols // 3]), (classes[symbols // 3 :], wanted[symbols // 3 :])]
    )
    decoder = RunDecoder(stream, symbols)
    got = [decoder.run(classes[: symbols // 3]), decoder.run(classes[symbols // 3 :])]
    decoder.finish()
    np.testing.assert_array_equal(np.concatenate(got), wanted)


def test_cut_data_is_refused() -> None:
    tensors = a_session()
    data, shapes = encode_tensors(tensors), shapes_of(tensors)
    for length in range(0, len(data), 7):
        with pytest.raises(CodingError):
            decode_tensors(data[:length], shapes)
    with pytest.raises(CodingError):
        decode_tensors(data + b"\0\0", shapes)


def test_damaged_data_is_refused_or_decodes_to_the_same_shapes() -> None:
    tensors = a_session()
    data, shapes = encode_tensors(tensors), shapes_of(tensors)
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            assert shapes_of(decode_tensors(bytes(damaged), shapes)) == shapes
        except CodingError:
            refused += 1
    assert refused > 200  # the low bits of `wide` have no check here: what holds a stream keeps its digest


def test_other_shapes_are_refused() -> None:
    tensors = a_session()
    data, shapes = encode_tensors(tensors), dict(shapes_of(tensors))
    for other in ({**shapes, "stem": (40, 31)}, {**shapes, "more": (2,)}, {"conv": shapes["conv"]}):
        with pytest.raises(CodingError):
            decode_tensors(data, other)


def test_too_many_weights_are_refused_before_anything_is_read() -> None:
    with pytest.raises(CodingError, match="67108864"):
        decode_tensors(b"", {"w": (2**26, 2)})


def test_raw_data_is_inflated_no_further_than_its_tensors_take() -> None:
    big = encode_tensors({"w": np.zeros(1 << 20, np.float32)})
    with pytest.raises(CodingError, match="another size than the 400 bytes"):
        decode_tensors(big, {"w": (100,)})


def test_units_that_training_emptied_cost_a_bit_each() -> None:
    rng = np.random.default_rng(0)
    columns = np.zeros((2000, 128), np.int32)
    columns[:, 5:12] = np.rint(rng.laplace(0, 1, (2000, 7)))
    tensors = {"w": Quantised(columns, -4)}
    alone = {"w": Quantised(columns[:, 5:12].copy(), -4)}
    data = encode_tensors(tensors)
    assert_same(decode_tensors(data, shapes_of(tensors)), tensors)
    assert len(data) <= len(encode_tensors(alone)) + 128 // 8
