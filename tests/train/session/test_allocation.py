"""How many weights a session keeps of each tensor, and how many of them are new."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfnr_train.model.config import PRESETS, ModelConfig
from pfnr_train.session.allocation import Kept, allocate, tensor_densities
from pfnr_train.session.masks import kept_count
from pfnr_train.session.recipe import Recipe, named_recipe


def sizes_of(config: ModelConfig) -> dict[str, int]:
    sizes = {}
    for name, shape in config.tensor_shapes().items():
        sizes[name] = 1
        for n in shape:
            sizes[name] *= n
    return sizes


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("fourier", [True, False])
def test_all_tensors_together_have_the_recipes_density(preset: str, density: float, fourier: bool) -> None:
    config = PRESETS[preset] if fourier else replace(PRESETS[preset], fourier=None)
    sizes = sizes_of(config)
    kept = allocate(sizes, sizes, Recipe(density=density), 0)
    assert sum(k.all for k in kept.values()) == pytest.approx(density * sum(sizes.values()), rel=1e-4)


def test_convolutions_and_the_first_layer_are_denser_than_the_rest() -> None:
    densities = tensor_densities(sizes_of(PRESETS["tiny"]), Recipe(density=0.3))
    narrow = {d for n, d in densities.items() if "conv" in n or n == "stem.0.weight"}
    wide = {d for n, d in densities.items() if "fourier" in n or n == "stem.1.weight"}
    (dense,), (rest,) = narrow, wide
    assert dense == pytest.approx(0.51)
    assert 0.25 < rest < 0.3


@given(few=st.integers(1, 10_000), many=st.integers(1, 10_000), density=st.floats(0.001, 1, exclude_min=True))
def test_densities_are_fractions_whatever_the_network(few: int, many: int, density: float) -> None:
    sizes = {"block.0.conv.weight": few, "stem.1.weight": many}
    found = tensor_densities(sizes, Recipe(density=density))
    assert all(0 < d <= 1 + 1e-12 for d in found.values())
    assert sum(found[n] * sizes[n] for n in sizes) == pytest.approx(density * (few + many))


def test_the_paper_keeps_the_same_fraction_of_every_tensor_and_lets_the_scores_choose() -> None:
    sizes = sizes_of(PRESETS["tiny"])
    recipe = named_recipe("paper")
    for session in (0, 3):
        free = {name: size // (1 + session) for name, size in sizes.items()}
        assert allocate(sizes, free, recipe, session) == {n: Kept(kept_count(s, 0.3)) for n, s in sizes.items()}


@pytest.mark.parametrize("planned", [2, 4, 8])
@pytest.mark.parametrize("density", [0.2, 0.3, 0.6])
def test_planned_sessions_share_what_the_first_one_left(planned: int, density: float) -> None:
    sizes, recipe = {"stem.1.weight": 100_000}, Recipe(density=density, planned=planned)
    free = 100_000
    new = []
    for session in range(planned):
        kept = allocate(sizes, {"stem.1.weight": free}, recipe, session)["stem.1.weight"]
        assert kept.all == round(density * 100_000)
        taken = kept.all if kept.new is None else kept.new
        new.append(taken)
        free -= taken
    assert free <= 100_000 * (1 - density) if planned == 2 else free >= 0
    assert max(new[1:]) - min(new[1:]) <= max(1, round(100_000 * (2 * density - 1)))
    assert new[1] == min(round(density * 100_000), -(-round((1 - density) * 100_000) // (planned - 1)))


def test_a_session_takes_new_weights_where_old_ones_are_too_few() -> None:
    """After one session of density 0.01, 0.3 cannot be filled up with frozen weights."""
    kept = allocate({"stem.1.weight": 1000}, {"stem.1.weight": 990}, Recipe(density=0.3, planned=100), 1)
    assert kept == {"stem.1.weight": Kept(300, 290)}


@pytest.mark.parametrize(("free", "session"), [(0, 3), (1000, 3), (400, 8), (400, 20)])
def test_scores_choose_where_there_is_nothing_to_share(free: int, session: int) -> None:
    kept = allocate({"stem.1.weight": 1000}, {"stem.1.weight": free}, Recipe(density=0.3, planned=8), session)
    assert kept == {"stem.1.weight": Kept(300)}
