"""The comparison's methods: their mathematics against its definition, and that each forgets what it should."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.libraries import small_config
from helpers.synthetic import moving_pattern
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, jacrev

from pfnr_runtime.errors import UsageError
from pfnr_train.comparison.baselines import METHODS, Setting, make_method, split_method
from pfnr_train.comparison.baselines.dense_training import DenseTraining, Part
from pfnr_train.comparison.baselines.ewc import Springs, fisher_diagonal
from pfnr_train.comparison.baselines.method import DenseNetwork
from pfnr_train.comparison.baselines.replay import ExemplarReplay, herd, picture_features
from pfnr_train.model.network import Network
from pfnr_train.session.initialise import new_head, new_library
from pfnr_train.session.recipe import Recipe

DOUBLE = torch.float64


def made_setting(videos: int = 3, **recipe: object) -> Setting:
    return Setting(small_config(), Recipe(**{"epochs": 6, "density": 0.4} | recipe), videos, memory=4)  # type: ignore[arg-type]


def pictures(index: int, frames: int = 4) -> np.ndarray:
    width, height = small_config().size
    return moving_pattern(frames, width, height, index)


def small_decoder() -> tuple[dict[str, torch.Tensor], torch.Tensor, Network, dict[str, torch.Tensor]]:
    config = small_config()
    generator = torch.Generator().manual_seed(0)
    weights = {n: torch.from_numpy(w).to(DOUBLE) for n, w in new_library(config, 0).weights.items()}
    head = {n: w.to(DOUBLE) for n, w in new_head(config, generator).items()}
    table = torch.rand(3, 4 * config.embed_levels, generator=generator, dtype=DOUBLE)
    return weights, table, Network(config, fast=True, dtype=DOUBLE), head


def test_fisher_is_the_mean_squared_jacobian() -> None:
    weights, table, model, head = small_decoder()
    names = ["stem.0.weight", "block.0.conv.weight"]
    exact = {}
    for name in names:
        per_frame = [
            jacrev(lambda w, k=k, n=name: model(table[k : k + 1], weights | {n: w}, head).flatten())(weights[name])
            for k in range(len(table))
        ]
        exact[name] = torch.stack([j.square().mean(0) for j in per_frame]).mean(0)
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    draws = 100
    estimate = fisher_diagonal(
        lambda k: model(table[k : k + 1], leaves, head),
        leaves,
        len(table),
        torch.Generator().manual_seed(1),
        draws,
    )
    for name in names:
        # A squared Gaussian has twice its squared mean as variance.
        assert float(estimate[name].sum()) == pytest.approx(float(exact[name].sum()), rel=0.2)
        relative = (estimate[name] - exact[name])[exact[name] > 0] / exact[name][exact[name] > 0]
        assert float(relative.square().mean().sqrt()) < 3 * (2 / draws) ** 0.5
        assert not estimate[name][exact[name] == 0].any()


def test_fisher_of_a_linear_decoder_is_exact_in_its_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 5, generator=generator, dtype=DOUBLE)
    weight = torch.zeros(4, 5, dtype=DOUBLE, requires_grad=True)
    layer = torch.nn.Linear(5, 4, bias=False, dtype=DOUBLE)
    fisher = fisher_diagonal(
        lambda k: functional_call(layer, {"weight": weight}, (x[k],)), {"w": weight}, 2, generator, draws=2_000
    )
    # ∂y_o/∂W_oc = x_c, so per output sample F_oc is the mean of x_c² over frames, over 4 outputs.
    assert torch.allclose(fisher["w"], x.square().mean(0).expand(4, 5) / 4, rtol=0.2)


@given(seed=st.integers(0, 10_000), videos=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_one_spring_pulls_as_the_penalties_of_all_videos(seed: int, videos: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(3, 4, generator=generator, dtype=DOUBLE)  # noqa: E731
    springs, old = Springs(strength=7.0), []
    for _ in range(videos):
        fisher, at = draw().square(), draw()
        fisher[0, 0] = 0  # a weight no video cares about
        springs.add({"w": fisher}, {"w": at})
        old.append((fisher, at))
    theta, other = draw().requires_grad_(), draw()
    (mine,) = torch.autograd.grad(springs({"w": theta}), theta)
    definition = lambda w: 3.5 * sum((f * (w - a).square()).sum() for f, a in old)  # noqa: E731
    (true,) = torch.autograd.grad(definition(theta), theta)
    assert torch.allclose(mine, true, rtol=1e-10, atol=1e-10)
    # Not only the gradient: the penalties differ by a constant.
    difference = springs({"w": theta}) - springs({"w": other})
    assert torch.allclose(difference, definition(theta) - definition(other), rtol=1e-9)
    assert mine[0, 0] == 0


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 7), count=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_herding_takes_the_row_that_keeps_the_mean_nearest(seed: int, rows: int, count: int) -> None:
    features = np.random.default_rng(seed).normal(size=(rows, 3))
    chosen = herd(features, count)
    assert len(chosen) == len(set(chosen)) == min(rows, count)
    mean = features.mean(0)
    for k in range(len(chosen)):
        candidates = [r for r in range(rows) if r not in chosen[:k]]
        distance = {r: np.linalg.norm(features[[*chosen[:k], r]].mean(0) - mean) for r in candidates}
        assert distance[chosen[k]] == pytest.approx(min(distance.values()))


def test_features_are_averages_over_squares() -> None:
    frames = np.zeros((2, 18, 16, 3), np.uint8)
    frames[1, :8, 8:] = 200
    features = picture_features(frames).reshape(2, 2, 2, 3)
    assert not features[0].any()
    assert (features[1, 0, 1] == 200).all()
    assert features[1].sum() == 600


def test_every_frame_of_a_mixed_batch_has_its_own_videos_head() -> None:
    config = small_config()
    heads = {
        v: {n: h.numpy() for n, h in new_head(config, torch.Generator().manual_seed(v)).items()} for v in (0, 2)
    }
    network = DenseNetwork(config, new_library(config, 0).weights, heads)
    rng = np.random.default_rng(0)
    parts = [
        Part(video, pictures(video, 2), rng.random((2, 4 * config.embed_levels), np.float32)) for video in (0, 2)
    ]
    training = DenseTraining(network, parts, Recipe(), torch.Generator())
    order = torch.tensor([3, 0, 2, 1])
    with torch.no_grad():
        mixed = training.decode(order)
        for place, index in enumerate(order.tolist()):
            part = parts[index // 2]
            head = {n: torch.from_numpy(h) for n, h in heads[part.video].items()}
            row = torch.from_numpy(part.table[index % 2])[None]
            alone = training.model(row, training.weights, head)[0]
            assert torch.allclose(mixed[place], alone, atol=1e-6)


def learnt(name: str, setting: Setting) -> tuple[list[list[float]], object]:
    """matrix[j][i]: mean squared error of video i after video j, and the method."""
    method = make_method(name, setting)
    errors = []
    for j in range(setting.videos):
        method.learn(j, pictures(j))
        row = [method.decode(i) for i in range(j + 1)]
        errors.append(
            [float(((d.astype(float) - pictures(i)) ** 2).mean()) for i, d in enumerate(row) if d is not None]
        )
    return errors, method


@pytest.mark.parametrize("name", ["stl", "wsn", "pfnr-f2", "pfnr-f3", "pfnr-f3@0.2"])
def test_nothing_is_forgotten_where_nothing_is_shared_or_all_is_frozen(name: str) -> None:
    errors, method = learnt(name, made_setting())
    for i in range(3):
        assert len({errors[j][i] for j in range(i, 3)}) == 1
    assert sum(method.stored_bytes().values()) > 4 * method.parameters()  # type: ignore[attr-defined]


def test_fine_tuning_forgets_and_springs_and_exemplars_make_it_forget_less() -> None:
    setting = made_setting(videos=2, epochs=40, learning_rate=2e-2)
    forgotten = {}
    for name in ("fine-tuning", "ewc", "icarl"):
        errors, _ = learnt(name, setting)
        assert len({e[0] for e in errors}) == 2
        forgotten[name] = errors[1][0] - errors[0][0]
    assert forgotten["fine-tuning"] > 0
    assert forgotten["ewc"] < forgotten["fine-tuning"]
    assert forgotten["icarl"] < forgotten["fine-tuning"]


def test_joint_training_waits_for_the_last_video() -> None:
    errors, method = learnt("mtl", made_setting())
    assert [len(row) for row in errors] == [0, 0, 3]
    assert method.parameters() == make_method("fine-tuning", made_setting()).parameters() + 3 * 12  # type: ignore[attr-defined]


def test_the_memory_keeps_its_size_and_counts() -> None:
    method = ExemplarReplay(made_setting(videos=3))
    for j in range(3):
        method.learn(j, pictures(j))
        assert sum(len(p.frames) for p in method.exemplars) <= 4
    assert [p.video for p in method.exemplars] == [0, 1, 2]
    for part in method.exemplars:
        assert all(any((frame == other).all() for other in pictures(part.video)) for frame in part.frames)
    without = make_method("fine-tuning", made_setting())
    for j in range(3):
        without.learn(j, pictures(j))
    size = method.stored_bytes()
    assert size["network"] == without.stored_bytes()["network"]
    assert size["exemplars"] > 0


def test_the_same_seed_gives_the_same_frames() -> None:
    for name in ("icarl", "ewc", "pfnr-f3"):
        runs = []
        for _ in range(2):
            method = make_method(name, made_setting(videos=2, epochs=2))
            for j in range(2):
                method.learn(j, pictures(j))
            runs.append([method.decode(i) for i in range(2)])
        for a, b in zip(*runs, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nerv", "method 'nerv' is none of stl, mtl, fine-tuning, ewc, icarl, wsn, pfnr-f2, pfnr-f3"),
        ("stl@0.5", "stl has no masks"),
        ("wsn@half", "'half' is not a density"),
    ],
)
def test_an_unknown_method_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        split_method(text)


def test_densities_and_blocks_are_those_asked_for() -> None:
    recipe = Recipe(epochs=1, density=0.4, spread="uniform", planned=0)
    setting = replace(made_setting(videos=1), recipe=recipe)
    for name, block, density in (("wsn", None, 0.4), ("pfnr-f2@0.1", 0, 0.1), ("pfnr-f3@0.9", 1, 0.9)):
        method = make_method(name, setting)
        method.learn(0, pictures(0))
        fourier = method.config.fourier
        assert (None if fourier is None else fourier.block) == block
        used = method.library.used()  # type: ignore[attr-defined]
        assert all(abs(m.mean() - density) <= 1 / m.size + 1e-9 for m in used.values())
    assert len(set(METHODS)) == len(list(itertools.chain(METHODS)))
