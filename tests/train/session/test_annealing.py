"""New weights found by thinning out all free ones: how many, which, and what a session leaves of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.libraries import made_clip, small_config

from pfnr_train.session.annealing import AnnealedMask
from pfnr_train.session.initialise import new_library
from pfnr_train.session.masks import top_mask
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining

SHAPE = (6, 8, 5)


def weight(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.zeros(shape)


def counts(mask: AnnealedMask, draw: torch.Generator, steps: int) -> list[int]:
    found = []
    for step in range(steps):
        mask.observe(torch.randn(SHAPE, generator=draw), (step + 1) / steps)
        found.append(int(mask(weight()).sum()))
    return found


@pytest.mark.parametrize(("keep", "until"), [(20, 0.6), (1, 1.0), (100, 0.05)])
def test_the_number_of_weights_falls_along_a_cubic_from_all_to_the_share(keep: int, until: float) -> None:
    mask = AnnealedMask(keep, weight(), until)
    assert mask(weight()).all()
    found = counts(mask, torch.Generator().manual_seed(0), 80)
    assert found == sorted(found, reverse=True)
    assert found[-1] == keep
    assert mask.done
    for step in range(8, 80, 8):
        if (left := 1 - step / 80 / until) > 0:
            assert found[step - 1] == keep + round((240 - keep) * left**3)


@pytest.mark.parametrize("shape", [SHAPE, (12, 20), (4, 3, 5, 4)])
def test_what_stays_is_what_changes_the_loss_most_in_a_fourier_weight_beside_others_of_its_mode(
    shape: tuple[int, ...],
) -> None:
    draw = torch.Generator().manual_seed(1)
    scale = torch.rand(shape, generator=draw)
    scale[0] *= 100
    mask = AnnealedMask(30, weight(shape), 0.5)
    mean = torch.zeros(shape, dtype=torch.float64)
    for step in range(10):
        change = torch.randn(shape, generator=draw) * scale
        mask.observe(change, (step + 1) / 20)
        mean = 0.98 * mean + 0.02 * change.double() ** 2
    if len(shape) == 3:
        mean /= mean.mean((1, 2), keepdim=True)
    assert torch.equal(mask(weight(shape)), top_mask(mean, 30))


def test_dead_weights_do_not_change_the_number() -> None:
    mask = AnnealedMask(25, weight(), 0.5)
    for step in range(10):
        mask.observe(weight(), (step + 1) / 10)
    assert int(mask(weight()).sum()) == 25


def test_where_all_is_kept_nothing_is_measured() -> None:
    mask = AnnealedMask(240, weight(), 0.5)
    assert mask.done
    assert mask.exactly(weight()).all()


def test_a_loaded_state_goes_on_to_the_same_masks() -> None:
    draw = torch.Generator().manual_seed(5)
    one, two = (AnnealedMask(20, weight(), 0.8) for _ in range(2))
    for step in range(40):
        if step == 13:
            state = one.state_dict()
            two.load_state_dict({k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
        change = torch.randn(SHAPE, generator=draw)
        one.observe(change, (step + 1) / 40)
        if step >= 13:
            two.observe(change, (step + 1) / 40)
            assert torch.equal(one(weight()), two(weight()))


def test_a_first_session_leaves_weights_that_it_does_not_keep_as_they_were() -> None:
    config = small_config("add")
    weights = new_library(config, 0).weights
    frozen = {n: np.zeros(w.shape, bool) for n, w in weights.items()}
    table = np.random.default_rng(1).uniform(-1, 1, (4, 160)).astype(np.float32)
    recipe = Recipe(epochs=5, density=0.4)
    run = SessionTraining(config, weights, frozen, made_clip(config, 0, 4).frames, table, recipe, 0)
    list(run.run())
    done = run.finish()
    moved = 0
    for name, weight in weights.items():
        own = done.masks[name]
        assert done.weights[name][~own].tobytes() == weight[~own].tobytes()
        moved += int((done.weights[name] != weight).sum())
    assert moved > 0
    assert sum(m.sum() for m in done.masks.values()) == pytest.approx(
        0.4 * sum(w.size for w in weights.values()), rel=0.02
    )
