"""One session's training: schedule, seeds, what a step may change, and when it stops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.libraries import COMBINES, made_clip, made_library, small_config

from pfnr_runtime.errors import UsageError
from pfnr_train.model.network import Network
from pfnr_train.session.initialise import new_library, new_scores
from pfnr_train.session.masks import TopMask, top_mask
from pfnr_train.session.recipe import RECIPES, Recipe, named_recipe
from pfnr_train.session.schedule import learning_rate_factor
from pfnr_train.session.training import SessionTraining, TrainingError, session_generator

POOLED = {name: recipe for name, recipe in RECIPES.items() if recipe.values == "shared"}


def training(recipe: Recipe, combine: str = "add", frames: int = 5, session: int = 0, **more) -> SessionTraining:
    config = small_config(combine, **more)
    library = new_library(config, 0)
    table = np.random.default_rng(1).uniform(-1, 1, (frames, 160)).astype(np.float32)
    pictures = made_clip(config, 0, frames).frames
    return SessionTraining(config, library.weights, library.used(), pictures, table, recipe, session)


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.2), (7, 0.5), (1, 0.2), (10, 0.0), (600, 0.05)])
def test_the_learning_rate_rises_linearly_then_falls_along_a_cosine(total: int, warmup: float) -> None:
    factors = [learning_rate_factor(step, total, warmup) for step in range(total)]
    for step, factor in enumerate(factors):
        progress = (step + 1) / total
        if progress < warmup:
            assert factor == pytest.approx(progress / warmup)
        else:
            assert factor == pytest.approx(math.cos(math.pi / 2 * (progress - warmup) / (1 - warmup)) ** 2)
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert all(0 <= factor <= 1 for factor in factors)


def first_scores(start: str, seed: int, session: int) -> bytes:
    weights = {n: torch.from_numpy(w) for n, w in new_library(small_config(), 0).weights.items()}
    return new_scores(start, weights, session_generator(seed, session))["stem.0.weight"].numpy().tobytes()


def test_every_session_has_random_numbers_of_its_own() -> None:
    drawn = {(e, k): first_scores("random", e, k) for e in (0, 1, 2**63 - 1) for k in (0, 1, 2)}
    assert len(set(drawn.values())) == len(drawn)
    assert first_scores("random", 1, 2) == drawn[1, 2]


def test_scores_that_start_from_magnitudes_keep_the_largest_weights_first() -> None:
    run = training(Recipe(density=0.3, scores="magnitude", anneal=0))
    for name, weight in run.form.weights.items():
        search = run.form.top[name]
        assert isinstance(search, TopMask)
        assert torch.equal(search(run.form.scores[name]), top_mask(weight.detach().abs(), search.keep))
    weight, score = run.form.weights["stem.0.weight"], run.form.scores["stem.0.weight"]
    assert weight.data_ptr() != score.data_ptr()


@pytest.mark.parametrize("recipe", POOLED.values(), ids=POOLED)
def test_every_recipe_with_a_pool_leaves_frozen_weights_alone_and_moves_the_others(
    recipe: Recipe,
) -> None:
    config = small_config("add", bias=True)
    weights = new_library(config, 0).weights
    draw = np.random.default_rng(3)
    frozen = {n: draw.random(w.shape) < 0.5 for n, w in weights.items()}
    for name, weight in weights.items():
        weight.reshape(-1)[::7] = -0.0
        frozen[name].reshape(-1)[::7] = True
    table = draw.uniform(-1, 1, (4, 160)).astype(np.float32)
    recipe = replace(recipe, epochs=3, density=0.6)
    run = SessionTraining(config, weights, frozen, made_clip(config, 0, 4).frames, table, recipe, 1)
    list(run.run())
    after = run.finish().weights
    for name, weight in weights.items():
        assert after[name][frozen[name]].tobytes() == weight[frozen[name]].tobytes()
    assert not np.array_equal(after["stem.1.weight"], weights["stem.1.weight"])


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("output", ["tanh", "sigmoid"])
def test_the_fast_network_of_training_is_the_definition(combine: str, output: str) -> None:
    config = small_config(combine, bias=True, output=output)
    session = made_library(config, 1).assemble(0)
    weights = {n: w.double() for n, w in session.materialised().items()}
    head = {n: w.double() for n, w in session.head.items()}
    embedding = torch.from_numpy(session.time_table).double()
    fast, slow = (
        Network(config, fast=kind, dtype=torch.float64)(embedding, weights, head) for kind in (True, False)
    )
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=0)


def test_training_lowers_the_loss() -> None:
    results = list(training(Recipe(epochs=30, batch=1, learning_rate=2e-2)).run())
    assert np.mean([r.loss for r in results[-5:]]) < 0.7 * np.mean([r.loss for r in results[:5]])
    assert [r.step for r in results] == list(range(1, 151))


def test_a_finished_session_has_the_masks_of_its_scores_and_of_its_density() -> None:
    run = training(Recipe(epochs=2, density=0.3, spread="uniform", anneal=0))
    list(run.run())
    done = run.finish()
    for name, scores in run.form.scores.items():
        keep = max(1, round(0.3 * scores.numel()))
        assert int(done.masks[name].sum()) == keep
        assert np.array_equal(done.masks[name], top_mask(scores.detach(), keep).numpy())


@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_every_frame_is_seen_once_an_epoch_whatever_the_batch(batch: int) -> None:
    run = training(Recipe(epochs=3, batch=batch))
    seen: list[int] = []
    step = run.step
    run.step = lambda indices: (seen.extend(indices.tolist()), step(indices))[1]  # type: ignore[method-assign]
    count = len(list(run.run()))
    assert count == run.total_steps == 3 * math.ceil(5 / batch)
    assert [sorted(seen[i : i + 5]) for i in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3


def test_a_loss_that_is_no_number_stops_training_and_says_what_to_do() -> None:
    run = training(Recipe(epochs=2, learning_rate=0.01))
    with torch.no_grad():
        run.form.head["weight"].fill_(math.nan)
    with pytest.raises(TrainingError, match=r"the loss became nan .* lower `learning_rate` than 0\.01$"):
        list(run.run())


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        {"density": 0},
        {"density": 1.01},
        {"density": math.nan},
        {"learning_rate": 0},
        {"learning_rate": math.inf},
        {"warmup": 1},
        {"anneal": 1.01},
        {"ssim_weight": -0.1},
        {"loss": "l2"},
        {"optimiser": "sgd"},
        {"scores": "zero"},
        {"beta1": 1},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_a_recipe_that_cannot_work_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="is not allowed; choose"):
        Recipe(**wrong)


def test_the_papers_recipe_is_the_papers() -> None:
    paper = named_recipe("paper")
    assert (paper.optimiser, paper.beta1, paper.beta2, paper.learning_rate) == ("adam", 0.5, 0.999, 5e-4)
    assert (paper.loss, paper.ssim_weight, paper.scores, paper.epochs, paper.batch) == (
        "l1-ssim",
        0.3,
        "random",
        150,
        1,
    )


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="recipe 'fast' is none of default, own, shared, paper"):
        named_recipe("fast")
