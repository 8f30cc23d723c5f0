"""The spatial lowering is exact where it claims to be, and says so where it is not or is too large."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.networks import random_session
from onnx import TensorProto, helper

from pfnr_export.graph import IR_VERSION, OPSET, Graph
from pfnr_export.lowerings import LOWERINGS, choose_lowering
from pfnr_export.lowerings.budget import SpatialBudget, parse_budget
from pfnr_export.lowerings.matmul import MatmulLowering
from pfnr_export.lowerings.spatial import SpatialLowering, interpolation
from pfnr_export.materialise import materialise
from pfnr_export.passes import run_passes
from pfnr_runtime.errors import UsageError
from pfnr_train.model.config import FourierConfig, ModelConfig, preset_config
from pfnr_train.model.network import MaskedSession
from pfnr_train.model.spectral import SpectralPlan, mix_by_definition

GRIDS = [(9, 16), (5, 7), (3, 3), (9, 2), (2, 2), (4, 6), (8, 5), (6, 16), (7, 9), (2, 9)]


def problem(grid: tuple[int, int], stride: int, C: int = 4, O: int = 3, seed: int = 0) -> tuple:  # noqa: E741
    plan = SpectralPlan(*grid, stride, "centered")
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(plan.mode_count, C, 2 * O, generator=generator, dtype=torch.float64)
    x = torch.randn(2, C, *grid, generator=generator, dtype=torch.float64)
    return plan, weight, x


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g[0]}x{g[1]}")
def test_equals_the_definition_in_double_precision(grid: tuple[int, int], stride: int) -> None:
    plan, weight, x = problem(grid, stride)
    expected = mix_by_definition(x, weight, plan)
    found = SpatialLowering(plan, weight)(x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-10


@pytest.mark.parametrize("lowering", [MatmulLowering, SpatialLowering])
@pytest.mark.parametrize("grid", [(9, 16), (4, 6), (5, 7)], ids=str)
def test_emitted_nodes_compute_the_same(grid: tuple[int, int], lowering: type) -> None:
    plan, weight, x = problem(grid, 2)
    layer = lowering(plan, weight.float())
    graph = Graph()
    output = layer.emit(graph, "x")
    proto = helper.make_graph(
        graph.nodes,
        "fourier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 4, *grid])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["B", 3, 2 * grid[0], 2 * grid[1]])],
        list(graph.initializers.values()),
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.float().numpy()})
    expected = mix_by_definition(x, weight, plan).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max() + 1e-7)
    weights = sum(math.prod(t.dims) * 4 for t in graph.initializers.values() if t.data_type == TensorProto.FLOAT)
    cost = lowering.cost(plan, 4, 3)
    assert cost.weight_bytes == weights
    assert cost.nodes == sum(node.op_type != "Reshape" for node in graph.nodes)


def test_interpolation_passes_through_the_samples_and_is_exact_between() -> None:
    for size, stride in ((9, 5), (8, 2), (2, 3), (1, 4)):
        matrix = interpolation(size, stride)
        assert matrix.shape == (size * stride, size)
        for frequency in range((size - 1) // 2 + 1):
            coarse = np.cos(2 * np.pi * frequency * np.arange(size) / size + 0.3)
            fine = np.cos(2 * np.pi * frequency * np.arange(size * stride) / (size * stride) + 0.3)
            np.testing.assert_allclose(matrix @ coarse, fine, atol=1e-12)


@pytest.mark.parametrize("grid", [(5, 7), (4, 6)], ids=str)
@pytest.mark.parametrize("combine", ["replace", "add", "concat"])
def test_a_whole_decoder_equals_the_masked_model(combine: str, grid: tuple[int, int]) -> None:
    fourier = FourierConfig(1, combine, "centered", 3 if combine == "concat" else 0)
    config = ModelConfig(grid, (2, 2, 2), channels=8, lower_width=5, stem_width=16, fourier=fourier)
    session, batch = random_session(config), torch.tensor([2, 0, 1])
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 5e-7)):
        decoder, _ = run_passes(materialise(session, SpatialLowering, dtype))
        assert float((decoder(batch) - MaskedSession(session, dtype)(batch)).abs().max()) <= limit


def test_reference_placement_is_refused_with_the_way_out() -> None:
    config = preset_config("tiny", 320, 180)
    assert config.fourier is not None
    config = replace(config, fourier=replace(config.fourier, placement="reference"))
    with pytest.raises(UsageError, match=r"centered placement only.*use matmul"):
        choose_lowering("spatial", config)
    assert choose_lowering("auto", config) is MatmulLowering
    with pytest.raises(UsageError, match="centered"):
        SpatialLowering(SpectralPlan(5, 7, 2, "reference"), torch.zeros(12, 1, 2))


def test_past_the_budget_it_states_its_size_and_is_refused() -> None:
    config = preset_config("l", 1280, 720)
    with pytest.raises(
        UsageError, match=r"45x80 takes 154\.9 MB and 139\.\d+ GMAC.*a spatial budget of 155MB,139\d+MMAC"
    ):
        choose_lowering("spatial", config)
    assert choose_lowering("auto", config) is MatmulLowering
    assert choose_lowering("spatial", config, parse_budget("155MB,140GMAC")) is SpatialLowering


def test_budgets_are_parsed_or_explained() -> None:
    assert parse_budget("1.5GB") == SpatialBudget(weight_bytes=1_500_000_000)
    assert parse_budget("20mb, 300MMAC") == SpatialBudget(20_000_000, 300_000_000)
    for text in ("", "64", "64 KB", "4GMAC;1MB", "-1MB"):
        with pytest.raises(UsageError, match="64MB,4GMAC"):
            parse_budget(text)


def test_auto_takes_the_predicted_fastest_of_the_exact_ones() -> None:
    for preset, size in (("tiny", (40, 24)), ("tiny", (320, 180)), ("m", (1280, 720))):
        config = preset_config(preset, *size)
        assert config.fourier is not None
        block = config.blocks()[config.fourier.block]
        plan = SpectralPlan(block.rows, block.columns, block.stride, "centered")
        costs = {
            n: low.cost(plan, block.in_channels, block.fourier_channels).seconds for n, low in LOWERINGS.items()
        }
        assert choose_lowering("auto", config).name == min(costs, key=lambda name: costs[name])
