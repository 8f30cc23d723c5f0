"""Every kind of artifact compiles with TensorRT-RTX, with layers of the kinds and types the graph asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.canvas_sessions import canvas_library
from helpers.libraries import made_library, small_config
from onnx import TensorProto, numpy_helper
from typer.testing import CliRunner

from pfnr_export.checks.allow_list import check_allow_list
from pfnr_export.checks.skeleton import value_types
from pfnr_export.checks.tensorrt_rtx import TARGETS, CompileError, check_tensorrt_rtx, compare_layers
from pfnr_export.commands.export import app
from pfnr_export.emit import serialise
from pfnr_export.export_session import ExportOptions, build_model
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.precisions import PRECISIONS
from pfnr_export.precisions.fp16 import FOURIER_SCOPE
from pfnr_export.precisions.int8_graph import quantised
from pfnr_export.precisions.onnx_edit import shapes
from pfnr_export.shared.build import SharedOptions, generations, shared_model
from pfnr_runtime.errors import BackendError
from pfnr_train.library.file import write_library
from pfnr_train.model.config import FourierConfig, ModelConfig, preset_config

Build = Callable[[ModelConfig], onnx.ModelProto]


def build_video(precision: str, lowering: str, time: str = "frames") -> Build:
    def build(config: ModelConfig) -> onnx.ModelProto:
        # Random weights have no quality to lose; the loosest budget lets every layer be lowered.
        budget = {} if PRECISIONS[precision].budget is None else {"psnr_budget": 20.0}
        options = ExportOptions(lowering, precision, time=time, **budget)  # type: ignore[arg-type]
        return build_model(made_library(config, 1, frames=2), 0, options)[0]

    return build


def build_shared(config: ModelConfig) -> onnx.ModelProto:
    library, options = made_library(config, 2, frames=2), SharedOptions()
    *_, last = generations(library, 1, options)
    return shared_model(library, last, options)


def build_canvas(precision: str, preset: str = "canvas") -> Build:
    def build(config: ModelConfig) -> onnx.ModelProto:
        budget = {} if PRECISIONS[precision].budget is None else {"psnr_budget": 20.0}
        options = ExportOptions(precision=precision, **budget)  # type: ignore[arg-type]
        return build_model(canvas_library(2, config=preset_config(preset, *config.size)), 0, options)[0]

    return build


# Every kind of artifact there is: precisions and lowerings enter by themselves.
KINDS: dict[str, Build] = {
    f"video {precision} {lowering}": build_video(precision, lowering)
    for precision in PRECISIONS
    if not PRECISIONS[precision].proved
    for lowering in LOWERINGS
} | {"shared fp32": build_shared}
KINDS |= {
    f"video {precision} matmul continuous": build_video(precision, "matmul", "continuous")
    for precision in PRECISIONS
    if not PRECISIONS[precision].proved
}
KINDS |= {f"canvas {precision}": build_canvas(precision) for precision in PRECISIONS}

# What every kind must have at least one layer of.
LAYERS = {
    "exact": ["CONVOLUTION FLOAT"],
    "exact-int8": ["QUANTIZE INT8", "DEQUANTIZE FLOAT", "CONVOLUTION FLOAT"],
    "fp32": ["CONVOLUTION FLOAT", "ACTIVATION FLOAT"],
    "fp16": ["CONVOLUTION HALF", "ACTIVATION FLOAT"],
    "int8": ["QUANTIZE INT8", "DEQUANTIZE FLOAT", "CONVOLUTION FLOAT"],
    "int8-weights": ["DEQUANTIZE FLOAT", "CONVOLUTION FLOAT"],
}
FOURIER = {"matmul": "MATRIX_MULTIPLY FLOAT", "spatial": "CONVOLUTION FLOAT", "fp32": "SELECT FLOAT"}

needs_rtx = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT-RTX is not installed (pip install 'pfnr[rtx]')",
)


def compiles(kind: str, config: ModelConfig, build: Build | None = None) -> dict[str, int]:
    model = (build or KINDS[kind])(config)
    check_allow_list(model)
    seen = check_tensorrt_rtx(model, serialise(model))
    assert seen["targets"] == ["SM86", "SM89", "SM120"]
    assert seen["batches"] == [1, 4, 8]
    assert seen["engine_bytes"] > 10_000
    layers: dict[str, int] = seen["layers"]
    network, precision, *lowering = [*kind.split(), ""]
    product, layers_wanted = FOURIER.get(lowering[0] or precision), LAYERS[precision]
    if network == "canvas":  # roundings and hard sigmoids are unary layers, and the window two products
        product, layers_wanted = "UNARY FLOAT", [name for name in layers_wanted if "ACTIVATION" not in name]
    for wanted in [*layers_wanted, product, "CAST UINT8"]:
        assert layers.get(wanted), f"{kind}: no layer {wanted} in {layers}"
    if precision == "fp32":
        assert not any(name.endswith((" HALF", " INT8")) for name in layers)
    return layers


@needs_rtx
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_compiles_for_every_target(kind: str) -> None:
    layers = compiles(kind, small_config("add"))
    if kind == "video fp32 matmul":
        assert layers["MATRIX_MULTIPLY FLOAT"] == 5
        assert layers["CONVOLUTION FLOAT"] == 3


@needs_rtx
@pytest.mark.parametrize("precision", ["exact", "exact-int8", "fp16", "int8"])
def test_a_head_that_enlarges_compiles(precision: str) -> None:
    compiles(f"canvas {precision}", small_config("add"), build_canvas(precision, "cpu-s"))


@needs_rtx
@pytest.mark.parametrize("combine", ["replace", "concat", "none"])
def test_every_combination_and_an_even_grid_compile(combine: str) -> None:
    for lowering in LOWERINGS:
        config = small_config(combine, grid=(4, 6), bias=True, output="sigmoid")
        model = build_video("fp32", lowering)(config)
        assert check_tensorrt_rtx(model, serialise(model), ("SM89",))["layers"]


def preset_l(size: tuple[int, int], lowering: str) -> ModelConfig:
    """Preset `l` at a size; for `spatial`, with its Fourier block where the map is small."""
    config = preset_config("l", *size)
    return config if lowering != "spatial" else replace(config, fourier=FourierConfig(block=0))


def build_int8_with_made_up_ranges(config: ModelConfig, lowering: str) -> onnx.ModelProto:
    """The int8 graph of every convolution: measured ranges change its numbers, not what it is made of."""
    model = build_video("fp32", lowering)(config)
    sizes = shapes(model)
    convs = [node for node in model.graph.node if node.op_type == "Conv" and FOURIER_SCOPE not in node.name]
    limits = {name: 1.0 for conv in convs for name in (conv.input[0], conv.output[0])}
    gains = {conv.name: np.ones(sizes[conv.output[0]][1], np.float32) for conv in convs}
    return quantised(model, frozenset(conv.name for conv in convs), limits, gains)


# Full size takes half a minute to minutes each: these always run, the rest with `make engines-full`.
OFTEN = [("video fp32 matmul", "720p"), ("video fp16 matmul", "720p"), ("video int8 matmul", "720p")]
OFTEN += [("shared fp32", "720p"), ("video fp32 matmul", "1080p"), ("video int8 matmul", "1080p")]
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
FULL_SIZE = [
    pytest.param(kind, size, id=f"{kind}-{name}", marks=() if (kind, name) in OFTEN else pytest.mark.full_size)
    for kind in KINDS
    if not kind.endswith("continuous")  # the same graph but for the small products of its stem
    for name, size in SIZES.items()
]


@needs_rtx
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "size"), FULL_SIZE)
def test_preset_l_compiles_at_full_size(kind: str, size: tuple[int, int]) -> None:
    if kind.endswith("spatial"):
        config = preset_l(size, "spatial")
        assert config.blocks()[0].rows == 9
    else:
        config = preset_l(size, "matmul")
    _, precision, *lowering = kind.split()
    # Measuring ranges at this size takes a quarter of an hour.
    quick = (lambda c: build_int8_with_made_up_ranges(c, lowering[0])) if precision == "int8" else None
    compiles(kind, config, quick)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in half precision throughout."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    for tensor in half.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            narrow = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(narrow, tensor.name))
    return half


def parsed(model: onnx.ModelProto) -> tuple[Any, Any]:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString())
    return network, (builder, parser)


@needs_rtx
def test_a_network_of_other_types_is_noticed() -> None:
    single = build_video("fp32", "matmul")(small_config("add"))
    network, _keep = parsed(single)
    assert compare_layers(single, network)
    with pytest.raises(CompileError, match=r"gives FLOAT in TensorRT-RTX, and the graph says float16"):
        compare_layers(to_half(single), network)
    network, _keep = parsed(to_half(single))
    assert "CONVOLUTION HALF" in compare_layers(to_half(single), network)
    with pytest.raises(CompileError, match=r"gives HALF in TensorRT-RTX, and the graph says float32"):
        compare_layers(single, network)


@needs_rtx
def test_a_missing_layer_and_one_of_another_kind_are_noticed() -> None:
    model = build_video("fp32", "matmul")(small_config())
    network, _keep = parsed(model)
    renamed = onnx.ModelProto()
    renamed.CopyFrom(model)
    node = next(n for n in renamed.graph.node if n.op_type == "Conv")
    original, node.name = node.name, "another"
    with pytest.raises(CompileError, match=r"'another' \(Conv\) became no layer in TensorRT-RTX, not CONVOLUTION"):
        compare_layers(renamed, network)
    swapped = onnx.ModelProto()
    swapped.CopyFrom(model)
    sigmoid = next(n for n in swapped.graph.node if n.op_type == "Sigmoid")
    sigmoid.name = original
    with pytest.raises(CompileError, match=r"\(Sigmoid\) became CONVOLUTION in TensorRT-RTX, not ACTIVATION"):
        compare_layers(swapped, network)


@needs_rtx
def test_what_does_not_parse_or_compile_is_explained() -> None:
    model = build_video("fp32", "matmul")(small_config())
    with pytest.raises(CompileError, match="does not parse the model"):
        check_tensorrt_rtx(model, b"not a model")
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    conv = next(n for n in broken.graph.node if n.op_type == "Conv")
    conv.op_type = "Shrinkwrap"
    with pytest.raises(CompileError, match=r"does not parse the model: .*"):
        check_tensorrt_rtx(broken, broken.SerializeToString())


@needs_rtx
def test_the_command_checks_before_it_writes(tmp_path: Path) -> None:
    write_library(made_library(small_config()), tmp_path / "l.pfnr")
    given = ["-l", str(tmp_path / "l.pfnr"), "-o", str(tmp_path / "v.onnx"), "--check", "tensorrt-rtx"]
    done = CliRunner().invoke(app, ["-s", "0", *given])
    assert done.exit_code == 0, done.output
    assert "compiles for " + ", ".join(TARGETS) in done.stderr
    done = CliRunner().invoke(app, ["--shared", *given])
    assert done.exit_code == 0, done.output
    assert "tensorrt-rtx" in done.stderr


def test_without_tensorrt_rtx_the_extra_is_named_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match=r"pfnr\[rtx\]"):
        check_tensorrt_rtx(onnx.ModelProto(), b"")
    write_library(made_library(small_config()), tmp_path / "l.pfnr")
    output = tmp_path / "v.onnx"
    given = ["-s", "0", "-l", str(tmp_path / "l.pfnr"), "-o", str(output), "--check", "tensorrt-rtx"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 4
    assert "pfnr[rtx]" in done.stderr
    assert not output.exists()


def test_an_unknown_check_lists_the_known_ones(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["-s", "0", "-o", str(tmp_path / "v.onnx"), "--check", "tensorrt"])
    assert done.exit_code == 2
    assert "'tensorrt' is none of tensorrt-rtx" in done.stderr


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_fourier_block_stays_in_single_precision(precision: str, lowering: str) -> None:
    model = build_video(precision, lowering)(small_config("add", grid=(4, 6)))
    types = value_types(model)
    inside = [
        node for node in model.graph.node if FOURIER_SCOPE in node.name and node.op_type in ("Conv", "MatMul")
    ]
    assert inside
    quantised_values = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    for node in inside:
        assert types[node.output[0]][0] == TensorProto.FLOAT, node.name
        assert not set(node.input) & quantised_values, node.name
