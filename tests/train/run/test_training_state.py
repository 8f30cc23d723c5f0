"""A training goes on from its saved state to the same bits, and a state of anything else is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.libraries import made_clip, made_library, small_config
from torch import Tensor

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.library import Library
from pfnr_train.run.session_job import SessionJob
from pfnr_train.run.state_fit import check_fit
from pfnr_train.run.state_keeper import Saving, find_state
from pfnr_train.run.tensor_tree import flatten, unflatten
from pfnr_train.run.training_state import Identity, SavedState, read_state, state_path, write_state
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import RECIPES, Recipe
from pfnr_train.session.training import SessionTraining

RECIPE = Recipe(epochs=4, batch=2, density=0.4)
FRAMES = 5  # and so three steps an epoch, the last of one frame


def new_training(library: Library, recipe: Recipe = RECIPE) -> SessionTraining:
    clip = made_clip(library.config, 7, FRAMES)
    table = np.random.default_rng(1).uniform(-1, 1, (FRAMES, 160)).astype(np.float32)
    return SessionTraining(library.config, library.weights, library.used(), clip.frames, table, recipe, 2)


def bits(training: SessionTraining) -> dict[str, bytes]:
    done = training.finish()
    parts = {"weights": done.weights, "masks": done.masks, "head": done.head}
    return {f"{kind} {name}": a.tobytes() for kind, arrays in parts.items() for name, a in arrays.items()}


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 7, 11, 12])
def test_a_training_restored_after_any_step_ends_with_the_same_bits(stop: int, tmp_path: Path) -> None:
    library = made_library(small_config("add", bias=True), 2)
    unbroken = new_training(library)
    losses = [result.loss for result in unbroken.run()]
    first, second = new_training(library), new_training(library)
    for result in first.run() if stop else ():
        if result.step == stop:
            break
    clip = made_clip(library.config)
    write_state(
        SavedState(Identity.of(library, clip, RECIPE), {}, stop, 12, first.state_dict()), tmp_path / "state"
    )
    second.load_state_dict(read_state(tmp_path / "state").tree)
    assert [result.loss for result in second.run()] == losses[stop:]
    assert bits(second) == bits(unbroken)


def leaves(value: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, bytes]]:
    """Every tensor, generator and number that is reachable from an object, by the way to it."""
    if id(value) in seen:
        return
    seen[id(value)] = value  # kept alive, so that no other object has its id
    if isinstance(value, Tensor):
        yield path, value.detach().numpy().tobytes()
    elif isinstance(value, torch.Generator):
        yield path, value.get_state().numpy().tobytes()
    elif type(value) in (int, float, bool):
        yield path, repr(value).encode()
    elif isinstance(value, dict):
        for i, (key, part) in enumerate(value.items()):
            yield from leaves(part, f"{path}/{i if isinstance(key, Tensor) else key}", seen)
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from leaves(part, f"{path}/{i}", seen)
    elif type(value).__module__.startswith(("pfnr_train", "torch.optim")):
        names = getattr(value, "__slots__", None) or vars(value)
        yield from leaves({name: getattr(value, name) for name in names}, path, seen)


def test_everything_that_steps_change_is_in_the_state() -> None:
    """Whatever is added to training one day, a restored one must have it or make the same again."""
    library = made_library(small_config(), 2)
    first, second = new_training(library), new_training(library)
    for result in first.run():
        if result.step == 7:
            break
    second.load_state_dict(unflatten(*flatten(first.state_dict())))
    kept = [dict(leaves(vars(t), "", {})) for t in (first, second)]
    # Made anew on first use: targets of the loss. An optimiser counts its own calls for warnings only.
    counters = ("/_opt_called", "/_step_count")
    differing = {
        path
        for path in kept[0].keys() | kept[1].keys()
        if kept[0].get(path) != kept[1].get(path)
        and not path.startswith("/loss/_targets")
        and not path.endswith(counters)
    }
    assert not differing


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Library, Path]:
    """A library and the path of its file, with the state of an interrupted training next to it."""
    library, path = made_library(small_config(), 2), tmp_path / "library.pfnr"

    def interrupt(training: SessionTraining, result: Any) -> None:
        if result.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SessionJob(made_clip(library.config), "clip", RECIPE, observers=(interrupt,)).run(library, path)
    assert [p.name for p in tmp_path.iterdir()] == ["library.pfnr.2.training"]
    return library, path


def test_a_state_is_of_an_exact_position(saved: tuple[Library, Path]) -> None:
    state = read_state(state_path(saved[1], 2))
    assert (state.step, state.steps) == (5, 12)
    assert state.identity.recipe == asdict(RECIPE)


def resume(library: Library, path: Path, recipe: Recipe = RECIPE, clip: int = 0, fps: str = "") -> None:
    SessionJob(made_clip(library.config, clip), "clip", recipe, saving=Saving(resume=True)).run(library, path)


def test_a_state_of_anything_else_is_refused_with_the_reason(saved: tuple[Library, Path]) -> None:
    library, path = saved
    before = state_path(path, 2).read_bytes()
    other_weights = {n: w + np.float32(1) for n, w in library.weights.items()}
    other_network = made_library(small_config("add"), 2)
    cases = {
        "it is of another clip, or of other frames of it": lambda: resume(library, path, clip=1),
        "its recipe is another: batch is 2 there and 1 here, epochs is 4 there and 9 here": lambda: resume(
            library, path, replace(RECIPE, epochs=9, batch=1)
        ),
        "the library's content has changed since": lambda: resume(replace(library, weights=other_weights), path),
        "its network is another: fourier is": lambda: resume(other_network, path),
    }
    for says, attempt in cases.items():
        with pytest.raises(LibraryError) as caught:
            attempt()
        assert says in str(caught.value)
        assert str(caught.value).endswith("Repeat the command that was interrupted, or start again with `discard`")
        assert state_path(path, 2).read_bytes() == before
        assert not path.exists()


def test_a_state_of_another_version_is_refused(saved: tuple[Library, Path]) -> None:
    library, path = saved
    state = read_state(state_path(path, 2))
    write_state(replace(state, identity=replace(state.identity, version="0.0.1")), state_path(path, 2))
    with pytest.raises(LibraryError, match=r"pfnr 0\.0\.1 saved it and this is pfnr"):
        resume(library, path)


def test_a_state_is_neither_used_nor_dropped_unasked(saved: tuple[Library, Path]) -> None:
    path = state_path(saved[1], 2)
    with pytest.raises(LibraryError, match=r"interrupted; go on with `resume`, or start again with `discard`"):
        find_state(path, Saving())
    assert path.exists()
    assert find_state(path, Saving(discard=True)) is None
    assert not path.exists()
    assert find_state(path, Saving(resume=True)) is None


def test_a_resumed_session_is_the_unbroken_one_and_its_state_goes(
    saved: tuple[Library, Path], tmp_path: Path
) -> None:
    library, path = saved
    resume(library, path)
    assert [p.name for p in tmp_path.iterdir()] == ["library.pfnr"]
    other = tmp_path / "unbroken.pfnr"
    SessionJob(made_clip(library.config), "clip", RECIPE).run(library, other)
    assert path.read_bytes() == other.read_bytes()


def test_other_threads_are_allowed_and_said(saved: tuple[Library, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pfnr")
    path = state_path(saved[1], 2)
    state = read_state(path)
    write_state(replace(state, machine={**state.machine, "threads": 64}), path)
    resume(*saved)
    assert "the last bits may differ from an unbroken training's: threads 64 then, 1 now" in caplog.text


def test_a_damaged_state_is_refused_in_one_line_wherever_the_damage_is(saved: tuple[Library, Path]) -> None:
    path = state_path(saved[1], 2)
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    text = whole.index(b"format_version")
    rng = np.random.default_rng(0)
    places = [*range(text, text + 4000, 61), length - 1, *rng.integers(length, len(whole), 40)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        path.write_bytes(damaged)
        with pytest.raises(LibraryError, match="`discard`") as caught:
            find_state(path, Saving(resume=True))
        assert "\n" not in str(caught.value)
    for cut in (0, 7, 8, length - 1, length, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(LibraryError, match="`discard`"):
            find_state(path, Saving(resume=True))


def changed(tree: Any, way: str, value: Any) -> Any:
    """A tree with one leaf replaced, or taken out where `value` is None; `*` is the first key that fits."""
    if not way:
        return value
    key, _, rest = way.partition("/")
    if isinstance(tree, dict):
        chosen: Any = next(k for k in tree if key in ("*", str(k)))
        if value is None and not rest:
            return {k: v for k, v in tree.items() if k != chosen}
        return {**tree, chosen: changed(tree[chosen], rest, value)}
    parts = list(tree)
    parts[int(key)] = changed(parts[int(key)], rest, value)
    return type(tree)(parts)


SPOILT = {
    "optimiser": {},
    "leaves": None,
    "generator": torch.zeros(3),
    "step_count": "five",
    "order": torch.tensor([0, 0, 1, 2, 3]),
    "optimiser/0/state/0/exp_avg": torch.zeros(1),
    "optimiser/0/state/0/exp_avg_sq": torch.zeros(1 << 20),
    "optimiser/0/state/0/step": torch.tensor(1e9),
    "optimiser/0/state": {99: {}},
    "optimiser/0/param_groups/0/lr": 1e9,
    "optimiser/0/param_groups/0/peak": 1e9,
    "optimiser/0/param_groups/0/params": [7, 8, 9],
    "optimiser/1/state/0/left_basis": torch.zeros(2, 2),
    "optimiser/1/state/0/second": torch.zeros(1),
    "leaves/weights/*": torch.zeros(1),
    "leaves/*": {},
    "form/*": {},
    "form/*/*/searches": "many",
}


@pytest.mark.parametrize("way", SPOILT)
def test_a_whole_state_that_does_not_fit_is_refused_in_one_line(way: str, saved: tuple[Library, Path]) -> None:
    library, path = saved
    state = read_state(state_path(path, 2))
    spoilt = changed(state.tree, way, SPOILT[way])
    write_state(replace(state, tree=spoilt), state_path(path, 2))
    with pytest.raises(LibraryError, match=r"does not fit this training .* start again with `discard`") as caught:
        resume(library, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", [{"step": 6}, {"steps": 13}])
def test_another_position_than_the_trainings_is_refused(
    position: dict[str, int], saved: tuple[Library, Path]
) -> None:
    library, path = saved
    write_state(replace(read_state(state_path(path, 2)), **position), state_path(path, 2))
    with pytest.raises(LibraryError, match=r"says that it is after step"):
        resume(library, path)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("stop", [1, 7, 11])
def test_what_any_recipe_saves_fits_a_fresh_training_of_it(name: str, stop: int) -> None:
    library, recipe = made_library(small_config(), 2), replace(RECIPES[name], epochs=4, batch=2)
    first, second = new_training(library, recipe), new_training(library, recipe)
    for result in first.run():
        if result.step == stop:
            break
    state = unflatten(*flatten(first.state_dict()))
    check_fit(state, second)
    second.load_state_dict(state)
    check_fit(second.state_dict(), new_training(library, recipe))


def test_there_is_no_pickle_in_a_state(saved: tuple[Library, Path]) -> None:
    data = state_path(saved[1], 2).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__").keys() == {"pfnr_training"}
    assert sum(e["data_offsets"][1] - e["data_offsets"][0] for e in header.values()) == len(data) - 8 - length


def test_a_tree_survives_being_flattened() -> None:
    tree = {"a": [1, 2.5, None, True, "x", (torch.ones(2, 3), [])], 3: {"b": torch.zeros((), dtype=torch.int64)}}
    skeleton, tensors = flatten(tree)
    again = unflatten(json.loads(json.dumps(skeleton)), tensors)
    assert again.keys() == tree.keys()
    assert again["a"][:5] == tree["a"][:5]
    assert isinstance(again["a"][5], tuple)
    assert torch.equal(again["a"][5][0], torch.ones(2, 3))
    assert again[3]["b"].dtype == torch.int64
    for foreign in (object(), {"x": {1, 2}}, {(1, 2): 3}):
        with pytest.raises(TypeError, match="of a training state"):
            flatten(foreign)


def test_the_state_of_a_new_library_fits_the_library_drawn_again(tmp_path: Path) -> None:
    library, path = new_library(small_config(), 3), tmp_path / "library.pfnr"

    def interrupt(training: SessionTraining, result: Any) -> None:
        if result.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SessionJob(made_clip(library.config), "clip", RECIPE, observers=(interrupt,)).run(library, path)
    resume(new_library(small_config(), 3), path)
    assert path.exists()
