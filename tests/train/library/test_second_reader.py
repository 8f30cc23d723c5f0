"""Libraries read by a reader that was written from docs/format.md alone give what pfnr's own gives."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from helpers.libraries import fourier_config, made_library, made_record, small_config
from helpers.own_sessions import coded_values, placed_values, with_values

from pfnr_runtime.coding.encode import encode_tensors
from pfnr_runtime.coding.quantised import Quantised
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.library.values.coded import stream_shapes
from pfnr_train.model.canvas import CanvasConfig
from pfnr_train.model.config import ModelConfig
from train.library.second_reader import SecondReader, Stream

CANVAS = small_config(
    "none",
    strides=(2, 2, 1),
    stem_width=1,
    bias=True,
    output="hard_sigmoid",
    canvas=CanvasConfig(4, (6, 4, 4), (1, 3, 3), 2, 1, 2, 2, (3, 5)),
)


def trained_like(config: ModelConfig, seed: int) -> CodedValues:
    """Values of which the coder uses all that it has: scales by row, empty columns, wide numbers, floats."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Quantised | np.ndarray] = {}
    for i, (name, shape) in enumerate(stream_shapes(config).items()):
        scales = np.exp2(rng.integers(-3, 5, shape[:1])).reshape(-1, *[1] * (len(shape) - 1))
        offsets = 9 * rng.standard_normal(shape[:1]).reshape(scales.shape) if i % 2 else 0
        values = rng.laplace(0, scales, shape) + offsets
        if len(shape) > 1:
            values[:, rng.random(shape[1]) < 0.5] = 0
        if i == 1:
            values *= 3000
        if i == 3:
            values.reshape(-1)[:: max(values.size // 5, 1)] = 50_000
        tensors[name] = Quantised(np.rint(values).astype(np.int32), -4 - i)
    some = next(iter(config.head_shapes()))
    tensors[f"head.{some}"] = rng.standard_normal(config.head_shapes()[some]).astype(np.float32)
    return CodedValues.of(tensors)


def check(library: Library, path: Path) -> None:
    """Both readers find the same sessions in the library's file, and in each the same bits."""
    write_library(library, path)
    second = SecondReader(path)
    assert [s["video"]["name"] for s in second.sessions] == [s.record.video.name for s in library.sessions]
    for k in range(len(library.sessions)):
        weights, head, table = second.materialise(k)
        ours = library.session_weights(k)
        for theirs, expected in ((weights, ours.materialised()), (head, ours.head)):
            assert theirs.keys() == expected.keys()
            for name, tensor in theirs.items():
                assert tensor.dtype == np.float32
                assert tensor.shape == tuple(expected[name].shape)
                assert tensor.tobytes() == expected[name].numpy().tobytes(), name
        assert table.tobytes() == ours.time_table.tobytes()


@pytest.mark.parametrize("combine", ["none", "replace", "add", "concat"])
def test_version_1_with_every_kind_of_fourier_block(combine: str, tmp_path: Path) -> None:
    config = small_config(combine, bias=combine == "add", reduction=1 if combine == "none" else 2)
    check(made_library(config, sessions=2), tmp_path / "library.pfnr")


def test_version_2_with_every_kind_of_values(tmp_path: Path) -> None:
    config = small_config(fourier=fourier_config("concat", block=0))
    library = made_library(config, sessions=1)
    library = with_values(library, placed_values(config, 1))
    library = with_values(library, trained_like(config, 2))
    library = with_values(library, coded_values(config, 3, parent=2, inherits=("stem.1.weight",)))
    library = with_values(library, coded_values(config, 4, parent=1, inherits=("stem.0.weight", "stem.1.weight")))
    check(library, tmp_path / "library.pfnr")


def test_the_canvas_network(tmp_path: Path) -> None:
    library = with_values(Library(CANVAS, {}), trained_like(CANVAS, 5))
    check(library, tmp_path / "library.pfnr")


def test_streams_use_all_that_a_header_can_say() -> None:
    """What these tests read has slices, shifts, powers, shares, escapes, floats, zeros and split axes."""
    seen = set()
    rng = np.random.default_rng(0)
    sub_pixels = np.rint(rng.laplace(0, np.tile([[8.0], [1], [1], [0.2]], (16, 1)), (64, 72)))
    split = {"a": Quantised(sub_pixels.reshape(64, 8, 3, 3).astype(np.int32), 0)}
    streams = [(encode_tensors(split), {"a": (64, 8, 3, 3)})]
    for config, seed in ((small_config(), 2), (CANVAS, 5)):
        streams.append((trained_like(config, seed).data, stream_shapes(config)))
    for data, named in streams:
        stream = Stream(data)
        for name in sorted(named):
            header = stream._header(named[name])
            seen |= {("raw", "zero", "coded")[header["kind"]]}
            if header["kind"] == 2:
                seen |= {key for key in ("shift", "powers", "shares") if header[key]}
                seen |= {"slices"} if prod(header["kept"]) < prod(named[name]) else set()
                seen |= {"split"} if len(header["view"]) > 3 else set()
        seen |= {"escapes"} if stream.number() else set()
    assert seen == {"raw", "zero", "coded", "shift", "powers", "shares", "slices", "split", "escapes"}
    assert (Stream(streams[0][0]).tensors(streams[0][1])["a"] == split["a"].values()).all()


def test_a_wrong_digest_is_found(tmp_path: Path) -> None:
    library = made_library(small_config(), sessions=1)
    session = replace(library.sessions[0], record=made_record(library.config, 0, weights_sha256="0" * 64))
    write_library(replace(library, sessions=(session,)), tmp_path / "library.pfnr")
    with pytest.raises(ValueError, match="digest"):
        SecondReader(tmp_path / "library.pfnr").materialise(0)
