"""Stride plans, presets and the configurations that are refused."""

from __future__ import annotations

import json
from math import prod

import pytest
from helpers.libraries import COMBINES, fourier_config, small_config
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_runtime.errors import UsageError
from pfnr_train.model.config import PRESETS, FourierConfig, ModelConfig, preset_config
from pfnr_train.model.stride_plan import nearest_sizes, plan_strides


@pytest.mark.parametrize(
    ("size", "strides"),
    [((1280, 720), (5, 2, 2, 2, 2)), ((1920, 1080), (5, 3, 2, 2, 2)), ((320, 180), (5, 2, 2))],
)
def test_the_papers_stride_plans(size: tuple[int, int], strides: tuple[int, ...]) -> None:
    plan = plan_strides(*size)
    assert (plan.grid, plan.strides, plan.size) == ((9, 16), strides, size)


@given(width=st.integers(1, 4200), height=st.integers(1, 2400))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_plan_multiplies_out_and_every_refusal_names_sizes_that_work(width: int, height: int) -> None:
    try:
        plan = plan_strides(width, height)
    except UsageError as error:
        text = str(error)
        assert text.startswith(f"frame size {width}x{height} has no stride plan")
        for size in text.split("`size` ")[1].split(", "):
            w, h = map(int, size.split("x"))
            assert plan_strides(w, h).size == (w, h)
    else:
        scale = prod(plan.strides)
        assert (plan.grid[1] * scale, plan.grid[0] * scale) == plan.size == (width, height)
        assert set(plan.strides) <= {2, 3, 5}
        assert list(plan.strides) == sorted(plan.strides, reverse=True)
        assert all(4 <= side <= 40 for side in plan.grid)
        preset_config("tiny", width, height)


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (16384, 16383), (99991, 99989)])
def test_absurd_sizes_are_answered_with_sizes_that_work(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="has no stride plan") as caught:
        plan_strides(*size)
    offered = str(caught.value).split("`size` ")[1].split(", ")
    assert offered
    for text in offered:
        plan_strides(*map(int, text.split("x")))  # type: ignore[arg-type]


def test_offered_sizes_are_the_nearest_and_nearest_first() -> None:
    def distance(w: int, h: int) -> float:
        return abs(w - 650) / 650 + abs(h - 365) / 365

    offered = nearest_sizes(650, 365)
    distances = [distance(*size) for size in offered]
    assert distances == sorted(distances)
    for w in range(600, 700, 4):
        for h in range(330, 400, 4):
            if distance(w, h) < distances[-1] and (w, h) not in offered:
                with pytest.raises(UsageError):
                    plan_strides(w, h)


def test_preset_l_is_the_papers_network() -> None:
    config = preset_config("l", 1280, 720)
    assert config.fourier == FourierConfig(1, "replace", config.fourier.placement, 0)
    assert config.size == (1280, 720)
    # fc 9_16_112, stem 512, strides 5 2 2 2 2, reduction 2 with lower width 96, embedding 1.25_40, no biases.
    assert config.tensor_shapes() == {
        "stem.0.weight": (512, 160),
        "stem.1.weight": (9 * 16 * 112, 512),
        "block.0.conv.weight": (112 * 25, 112, 3, 3),
        "block.1.fourier.weight": (2 * 22 * 40, 112, 2 * 96),
        "block.2.conv.weight": (96 * 4, 96, 3, 3),
        "block.3.conv.weight": (96 * 4, 96, 3, 3),
        "block.4.conv.weight": (96 * 4, 96, 3, 3),
    }
    assert config.head_shapes() == {"weight": (3, 96)}
    assert (config.output, config.embed_base, config.embed_levels) == ("tanh", 1.25, 40)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "size", [(1280, 720), (1920, 1080), (640, 360), (320, 180), (40, 24), (64, 36), (640, 272)]
)
def test_every_preset_makes_a_network_of_every_size(preset: str, size: tuple[int, int]) -> None:
    config = preset_config(preset, *size)
    assert config.size == size
    assert config.macs() > 0


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("bias", [False, True])
def test_a_configuration_survives_json(combine: str, bias: bool) -> None:
    config = small_config(combine, bias=bias, output="sigmoid")
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"grid": (0, 4)}, "must be positive"),
        ({"strides": ()}, "must be positive"),
        ({"channels": 0}, "channels 0 is outside"),
        ({"output": "relu"}, "'relu' is none of tanh, sigmoid"),
        ({"embed_base": 1.0}, "embedding base 1.0"),
        ({"fourier": FourierConfig(2)}, "blocks 0 to 1"),
        ({"fourier": FourierConfig(-1)}, "blocks 0 to 1"),
        ({"fourier": FourierConfig(1, "mix")}, "'mix' is none of replace, add, concat"),
        ({"fourier": FourierConfig(1, "add", "left")}, "'left' is none of centered, reference"),
        ({"fourier": FourierConfig(1, "concat")}, "concat needs 1 to 3"),
        ({"fourier": FourierConfig(1, "concat", "centered", 4)}, "concat needs 1 to 3"),
        ({"grid": (1, 9), "fourier": FourierConfig(0)}, "too small for Fourier"),
        ({"grid": (4000, 4000), "stem_width": 65536}, "choose a smaller preset or size"),
    ],
)
def test_a_network_that_cannot_work_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        small_config("none", **wrong)
    assert "\n" not in str(caught.value)


def test_the_fourier_combinations_divide_the_channels() -> None:
    blocks = {combine: small_config(combine).blocks()[1] for combine in COMBINES}
    assert {c: (b.conv_channels, b.fourier_channels) for c, b in blocks.items()} == {
        "none": (4, 0),
        "replace": (0, 4),
        "add": (4, 4),
        "concat": (2, 2),
    }
    assert fourier_config("none") is None
