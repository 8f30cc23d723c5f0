"""What a library notes of a clip: its name and its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.clips import write_image, write_lossless
from helpers.libraries import made_library, small_config
from helpers.synthetic import moving_pattern

from pfnr_train.clips import read_clip
from pfnr_train.run.add_session import describe_clip, free_name, relative_source


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_session_is_named_after_a_link_and_not_after_what_it_points_to(tmp_path: Path) -> None:
    store, films = tmp_path / "store", tmp_path / "films"
    store.mkdir()
    films.mkdir()
    write_lossless(store / "3f9a1c.mkv", 4)
    (films / "holiday.mkv").symlink_to(store / "3f9a1c.mkv")
    clip = read_clip(films / "holiday.mkv")
    library = made_library(small_config(), 0)
    assert free_name(library, None, clip) == "holiday"
    assert describe_clip(clip, "a").source == "holiday.mkv"
    assert relative_source(clip, tmp_path / "library.pfnr") == "films/holiday.mkv"
    assert relative_source(clip, films / "library.pfnr") == "holiday.mkv"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_the_place_of_a_clip_is_right_below_a_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "films").mkdir(parents=True)
    write_lossless(tmp_path / "disk" / "films" / "a.mkv", 4)
    (tmp_path / "here").symlink_to(tmp_path / "disk" / "films")
    clip = read_clip(tmp_path / "here" / "a.mkv")
    assert relative_source(clip, tmp_path / "library.pfnr") == "disk/films/a.mkv"


@pytest.mark.parametrize("given", [".", "../frames", "../frames/.", "..//frames/"])
def test_a_folder_has_a_name_however_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, picture in enumerate(moving_pattern(3, 64, 48)):
        write_image(folder / f"{i}.png", picture)
    monkeypatch.chdir(folder)
    clip = read_clip(given)
    assert free_name(made_library(small_config(), 0), None, clip) == "frames"
    assert describe_clip(clip, "a").source == "frames"
    assert relative_source(clip, tmp_path / "library.pfnr") == "frames"
