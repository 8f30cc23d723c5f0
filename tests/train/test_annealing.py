"""New weights found by thinning out all free ones: how many, which, and what a session leaves of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pfnr_train.annealing import MEMORY, AnnealedMask
from pfnr_train.initialise import new_library
from pfnr_train.masking import top_mask
from pfnr_train.recipe import Recipe
from pfnr_train.session_training import SessionTraining

from .makers import made_clip, small_config


def drawn(
    seed: int, shape: tuple[int, ...] = (6, 8, 5), share: float = 0.6
) -> tuple[torch.Tensor, torch.Generator]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=draw) < share, draw


def counts(mask: AnnealedMask, free: torch.Tensor, draw: torch.Generator, steps: int) -> list[int]:
    found = []
    for step in range(steps):
        mask.observe(torch.randn(free.shape, generator=draw), (step + 1) / steps)
        found.append(int((mask(torch.zeros(free.shape)) & free).sum()))
    return found


@pytest.mark.parametrize(("new", "until"), [(20, 0.6), (1, 1.0), (100, 0.05)])
def test_the_number_of_new_weights_falls_along_a_cubic_from_all_free_ones_to_the_share(
    new: int, until: float
) -> None:
    free, draw = drawn(0)
    mask = AnnealedMask(new, 0, free, until)
    every = int(free.sum())
    assert int(mask(torch.zeros(free.shape)).sum()) == every
    found = counts(mask, free, draw, 80)
    assert found == sorted(found, reverse=True)
    assert found[-1] == new
    assert mask.done
    for step in range(8, 80, 8):
        left = max(0.0, 1 - step / 80 / until)
        if left:
            assert found[step - 1] == new + round((every - new) * left**3)


def test_what_stays_is_what_changes_the_loss_most_beside_others_of_its_row() -> None:
    free, draw = drawn(1)
    scale = torch.rand(free.shape, generator=draw) * torch.tensor([1.0, 10, 100, 1, 0.1, 1])[:, None, None]
    mask = AnnealedMask(30, 0, free, 0.5)
    mean = torch.zeros(free.shape, dtype=torch.float64)
    for step in range(10):
        change = torch.randn(free.shape, generator=draw) * scale
        mask.observe(change, (step + 1) / 20)
        mean = MEMORY * mean + (1 - MEMORY) * change.double() ** 2
    mean[~free] = 0
    level = mean / (mean.sum((1, 2), keepdim=True) / free.sum((1, 2), keepdim=True))
    level[~free] = -1
    assert torch.equal(mask(torch.zeros(free.shape)), top_mask(level, 30))


def test_frozen_weights_are_chosen_by_scores_and_new_ones_are_not() -> None:
    free, draw = drawn(2)
    mask = AnnealedMask(20, 15, free, 0.5)
    for step in range(20):
        mask.observe(torch.randn(free.shape, generator=draw), (step + 1) / 20)
        scores = torch.randn(free.shape, generator=draw)
        found = mask(scores)
        assert torch.equal(found, mask.exactly(scores))  # so few have no slack
        assert int((found & ~free).sum()) == 15
        assert scores[found & ~free].min() > scores[~found & ~free].max()
    assert mask.reads_scores
    assert int((found & free).sum()) == 20


def test_dead_weights_do_not_change_the_number() -> None:
    free, _ = drawn(3)
    mask = AnnealedMask(25, 0, free, 0.5)
    for step in range(10):
        mask.observe(torch.zeros(free.shape), (step + 1) / 10)
        assert not (mask(free.float()) & ~free).any()
    assert int(mask(free.float()).sum()) == 25


@pytest.mark.parametrize("new", [0, "all"])
def test_with_nothing_to_choose_nothing_is_measured(new: int | str) -> None:
    free, _ = drawn(4)
    every = int(free.sum())
    mask = AnnealedMask(every if new == "all" else 0, 3, free, 0.5)
    assert mask.done
    assert int((mask(torch.rand(free.shape)) & free).sum()) == (every if new == "all" else 0)


def test_a_loaded_state_goes_on_to_the_same_masks() -> None:
    free, draw = drawn(5)
    one, two = (AnnealedMask(20, 15, free, 0.8) for _ in range(2))
    changes = [torch.randn(free.shape, generator=draw) for _ in range(40)]
    scores = torch.randn(free.shape, generator=draw)
    for step, change in enumerate(changes):
        if step == 13:
            state = one.state_dict()
            two.load_state_dict({k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
        one.observe(change, (step + 1) / 40)
        if step >= 13:
            two.observe(change, (step + 1) / 40)
            assert torch.equal(one(scores), two(scores))


def test_a_session_leaves_weights_that_it_does_not_keep_as_they_were() -> None:
    config = small_config("add")
    weights = new_library(config, 0).weights
    frozen = {n: np.random.default_rng(3).random(w.shape) < 0.3 for n, w in weights.items()}
    table = np.random.default_rng(1).uniform(-1, 1, (4, 160)).astype(np.float32)
    recipe = Recipe(epochs=5, density=0.4)
    run = SessionTraining(config, weights, frozen, made_clip(config, 0, 4).frames, table, recipe, 1)
    list(run.run())
    done = run.finish()
    moved = 0
    for name, weight in weights.items():
        own = done.masks[name] & ~frozen[name]
        assert done.weights[name][~own].tobytes() == weight[~own].tobytes()
        moved += int((done.weights[name] != weight).sum())
    assert moved > 0
    assert sum(m.sum() for m in done.masks.values()) == pytest.approx(
        0.4 * sum(w.size for w in weights.values()), rel=0.02
    )
