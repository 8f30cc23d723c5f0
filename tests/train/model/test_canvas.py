"""The canvas network: its window against a plain bilinear look-up, its shapes, and the camera's path."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.time_table import cosine_table
from pfnr_train.model.canvas import LATENTS, PANNED, PATH, STILL, CanvasConfig, CanvasNetwork, window
from pfnr_train.model.config import ModelConfig, preset_config
from pfnr_train.model.options import ModelOptions, model_config
from pfnr_train.session.motion import camera_path, path_weights


def looked_up(canvas: np.ndarray, offset: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """The window by its definition, one sample after another."""
    _, H, W = canvas.shape
    found = np.zeros((canvas.shape[0], *size))
    top, left = (min(max(o, 0.0), side - s) for o, side, s in zip(offset, (H, W), size, strict=True))
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = top + i, left + j
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
                for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
                    if wy * wx:
                        found[:, i, j] += wy * wx * canvas[:, y0 + dy, x0 + dx]
    return found


@given(st.floats(-3, 9), st.floats(-3, 9))
def test_a_window_is_bilinear_and_stays_inside(row: float, column: float) -> None:
    canvas = np.random.default_rng(1).standard_normal((2, 9, 11))
    made = window(torch.from_numpy(canvas), torch.tensor([[row, column]], dtype=torch.float64), (4, 5))
    np.testing.assert_allclose(made[0].numpy(), looked_up(canvas, (row, column), (4, 5)), atol=1e-9)


def test_the_path_has_gradients() -> None:
    canvas = torch.randn(1, 8, 9, dtype=torch.float64)
    offsets = torch.tensor([[1.3, 2.6]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o: window(canvas, o, (4, 4)), (offsets,))


@pytest.mark.parametrize("size", [(320, 180), (1280, 720), (1920, 1080), (64, 36), (40, 24)])
def test_frames_have_the_size_asked_for(size: tuple[int, int]) -> None:
    config = preset_config("canvas", *size)
    assert config.size == size
    if size[0] > 400:
        return_shapes = config.tensor_shapes()
        assert return_shapes[STILL][1:] == (config.blocks()[1].rows, config.blocks()[1].columns)
        return
    weights = {name: torch.randint(-4, 5, shape) / 32 for name, shape in config.tensor_shapes().items()}
    head = {name: torch.randint(-40, 41, shape) / 64 for name, shape in config.head_shapes().items()}
    rows = torch.from_numpy(cosine_table(3, config.canvas.terms))  # type: ignore[union-attr]
    plain, fast = (CanvasNetwork(config, fast=kind)(rows, weights, head) for kind in (False, True))
    assert plain.shape == (3, 3, size[1], size[0])
    assert torch.equal(plain, fast)


def test_the_configuration_survives_json_and_older_networks_do_not_mention_what_is_newer() -> None:
    for preset in ("canvas", "cpu-m"):
        config = preset_config(preset, 320, 180)
        assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert "canvas" not in preset_config("tiny", 320, 180).to_json()
    assert "enlarge" not in preset_config("canvas", 320, 180).to_json()["canvas"]
    assert preset_config("cpu-m", 320, 180).to_json()["canvas"]["enlarge"] == 4


@pytest.mark.parametrize(
    ("size", "enlarge", "last_map"),
    [
        ((1280, 720), 4, (180, 320)),
        ((1920, 1080), 4, (270, 480)),
        ((3840, 2160), 4, (540, 960)),
        ((320, 180), 4, (45, 80)),
        ((40, 24), 2, (12, 20)),
        ((90, 50), 2, (25, 45)),
        ((45, 25), 1, (25, 45)),
    ],
)
def test_an_enlarging_head_halves_its_factor_until_there_is_a_plan(
    size: tuple[int, int], enlarge: int, last_map: tuple[int, int]
) -> None:
    config = preset_config("cpu-m", *size)
    assert config.canvas is not None
    last = config.blocks()[-1]
    assert (config.size, config.canvas.enlarge, (last.rows, last.columns)) == (size, enlarge, last_map)


def test_a_size_without_any_plan_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"frame size 1282x722 has no stride plan.*1280x720"):
        preset_config("cpu-s", 1282, 722)


def test_an_enlarging_head_gives_sub_pixels_in_the_order_of_a_pixel_shuffle() -> None:
    config = preset_config("cpu-s", 80, 48)
    assert config.canvas is not None
    shape = config.head_shapes()["weight"]
    assert shape == (3 * config.canvas.enlarge**2, 16)
    network = CanvasNetwork(config, fast=False)
    # A head that gives its bias alone shows in which order sub-pixels come.
    steps = torch.arange(shape[0]) / 2**6 - 1
    weights = {name: torch.zeros(wanted) for name, wanted in config.tensor_shapes().items()}
    frames = network(torch.zeros(1, config.canvas.terms), weights, {"weight": torch.zeros(shape), "bias": steps})
    r = config.canvas.enlarge
    assert torch.equal(frames[0, :, :r, :r], (steps / 4 + 0.5).view(3, r, r))
    assert torch.equal(frames[0, :, r : 2 * r, :r], frames[0, :, :r, :r])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"terms": 0}, "0 cosines"),
        ({"kernels": (1, 2, 3)}, "must be 1, 3, 5 or 7"),
        ({"still_block": 2}, "comes first|one comes first"),
        ({"panned": 0}, "canvas channels"),
        ({"margin": (0, 5)}, "margin"),
        ({"widths": ()}, "widths"),
        ({"enlarge": 0}, "enlarges by 0 is outside 1 to 16"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CanvasConfig(**changed)  # type: ignore[arg-type]


def test_an_enlarging_head_follows_a_last_stride_of_1() -> None:
    config = preset_config("cpu-s", 320, 180)
    with pytest.raises(UsageError, match="enlarges by 4 needs a last stride of 1, not 2"):
        replace(config, strides=(5, 1, 1, 2))


def test_cosines_are_orthogonal_and_those_past_the_last_frame_are_nothing() -> None:
    table = cosine_table(12, 16).astype(np.float64)
    gram = table.T @ table
    assert np.allclose(gram, np.diag([12.0] + [6.0] * 11 + [0.0] * 4), atol=0.02)
    assert np.array_equal(table, np.rint(table * 2**11) / 2**11)


def test_a_panning_camera_is_followed() -> None:
    rng = np.random.default_rng(3)
    scene = np.kron(rng.integers(0, 255, (30, 60, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    frames = np.stack([scene[2 * k : 2 * k + 48, 3 * k : 3 * k + 80] for k in range(12)])
    path = camera_path(frames)
    assert np.allclose(path - path[0], [[2 * k, 3 * k] for k in range(12)], atol=1.01)
    table = cosine_table(12, 16)
    offsets = table @ path_weights(frames, table, (24, 40), (20, 40)).T
    assert np.allclose(np.diff(offsets, axis=0), [1.0, 1.5], atol=0.6)
    assert offsets.min() >= -1
    assert np.all(offsets.max(0) <= [21, 41])


def test_the_names_are_those_of_the_tensors() -> None:
    shapes = preset_config("canvas", 320, 180).tensor_shapes()
    assert {LATENTS, STILL, PANNED, PATH} <= shapes.keys()
    assert shapes[PANNED] == (4, 90 + 48, 160 + 160)


def test_it_is_what_a_new_library_of_coded_values_has_and_no_other() -> None:
    chosen = model_config(ModelOptions(), None, None, (320, 180))
    assert chosen == preset_config("canvas", 320, 180)
    assert model_config(ModelOptions(), None, None, (320, 180), "shared").canvas is None
    assert model_config(ModelOptions(fourier="add"), None, None, (320, 180)).fourier is not None
    with pytest.raises(UsageError, match="a canvas network keeps coded values, not shared ones"):
        model_config(ModelOptions(), chosen, None, (320, 180), "shared")
