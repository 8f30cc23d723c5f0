"""The freezing contract: a session exports to the same bytes before and after later ones are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.libraries import COMBINES, made_clip, small_config, trained

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.errors import LibraryError
from pfnr_train.library.file import read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.model.config import ModelConfig
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe

PLAIN = [Recipe(epochs=4, density=0.4, seed=k) for k in range(4)]


def exports(library: Library, folder: Path) -> list[bytes]:
    """Every session's artifact, by way of the library file."""
    path = folder / "library.pfnr"
    write_library(library, path)
    again = read_library(path)
    files = []
    for k in range(len(again.sessions)):
        export_session(again, k, folder / "v.onnx", ExportOptions())
        files.append((folder / "v.onnx").read_bytes())
    return files


def check_nothing_is_forgotten(config: ModelConfig, recipes: list[Recipe], folder: Path) -> list[Library]:
    after = trained(new_library(config, 0), recipes)
    before: list[bytes] = []
    previous = new_library(config, 0)
    for library in after:
        now = exports(library, folder)
        assert now[: len(before)] == before
        assert len(set(now)) == len(now)
        for name, used in previous.used().items():
            assert library.weights[name][used].tobytes() == previous.weights[name][used].tobytes()
        before, previous = now, library
    assert any((after[0].weights[n] != after[-1].weights[n]).any() for n in after[0].weights)
    return after


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("combine", COMBINES)
def test_every_earlier_session_exports_to_the_same_bytes(combine: str, bias: bool, tmp_path: Path) -> None:
    check_nothing_is_forgotten(small_config(combine, bias=bias), PLAIN, tmp_path)


def test_also_when_later_sessions_use_other_densities_seeds_and_batches(tmp_path: Path) -> None:
    recipes = [
        Recipe(epochs=3, density=0.3, seed=1),
        Recipe(epochs=3, density=0.9, seed=1),
        Recipe(epochs=3, density=0.05, seed=7, batch=2),
        Recipe(epochs=3, density=0.6, seed=1, learning_rate=0.1),
    ]
    check_nothing_is_forgotten(small_config("add", bias=True), recipes, tmp_path)


def test_also_when_no_free_weight_is_left(tmp_path: Path) -> None:
    recipes = [Recipe(epochs=4, density=1.0), *PLAIN[1:]]
    after = trained(new_library(small_config("concat", bias=True), 0), recipes)
    first = exports(after[0], tmp_path)
    for library in after[1:]:
        assert exports(library, tmp_path)[0] == first[0]
        assert all(mask.all() for mask in library.used().values())
        # Scores and head still learn: the session decodes its own video.
        assert library.weights.keys() == after[0].weights.keys()
        assert all(library.weights[n].tobytes() == after[0].weights[n].tobytes() for n in library.weights)
    heads = [s.values.head["weight"].tobytes() for s in after[-1].sessions]
    assert len(set(heads)) == 4


def test_a_session_does_not_depend_on_how_many_follow() -> None:
    one, four = (trained(new_library(small_config(), 0), PLAIN[:count]) for count in (1, 4))
    assert one[0].sessions[0].record == four[-1].sessions[0].record
    assert np.array_equal(one[0].table(0), four[-1].table(0))


def test_the_same_seed_makes_the_same_library_and_another_makes_another(tmp_path: Path) -> None:
    written = []
    for recipes in (PLAIN[:2], PLAIN[:2], [PLAIN[0], replace(PLAIN[1], seed=99)]):
        library = trained(new_library(small_config(), 0), recipes)[-1]
        write_library(library, tmp_path / "l.pfnr")
        written.append((tmp_path / "l.pfnr").read_bytes())
    assert written[0] == written[1] != written[2]


def test_sessions_of_one_seed_use_different_weights() -> None:
    library = trained(new_library(small_config(), 0), [Recipe(epochs=1, density=0.3, seed=0)] * 2)[-1]
    for name in library.weights:
        assert library.sessions[0].values.masks[name].tobytes() != library.sessions[1].values.masks[name].tobytes()


def test_the_library_given_is_never_changed(tmp_path: Path) -> None:
    library = trained(new_library(small_config(), 0), PLAIN[:1])[-1]
    write_library(library, tmp_path / "before.pfnr")
    clip = made_clip(library.config, 5)
    add_session(library, clip, "more", "more.mkv", PLAIN[1], lambda training, result: None)
    write_library(library, tmp_path / "after.pfnr")
    assert (tmp_path / "before.pfnr").read_bytes() == (tmp_path / "after.pfnr").read_bytes()


def test_training_that_touched_a_frozen_weight_would_not_be_accepted() -> None:
    library = trained(new_library(small_config(), 0), PLAIN[:1])[-1]
    session = library.sessions[0]
    for name, used in library.used().items():
        where = tuple(np.argwhere(used)[0])
        weights = {n: w.copy() for n, w in library.weights.items()}
        weights[name][where] = np.nextafter(weights[name][where], np.float32(9))
        with pytest.raises(LibraryError, match=f"changed frozen weights of {name}"):
            library.with_session(weights, session)
