"""Sequence files: those that come with the project are valid, and every mistake is named with what is allowed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from helpers.paths import ROOT

from pfnr_runtime.errors import UsageError
from pfnr_train.sequence.sequence import read_sequence, recipe_setting

SHIPPED = ROOT / "benchmarks" / "sequences"
VALID = """
name = "two"
size = "40x24"
scaling = "average"
folders = ["clips", "."]
fps = 24

[network]
preset = "tiny"
fourier_block = 0

[recipe]
epochs = 3
density = 0.25

[[video]]
name = "one"
clip = "first.mkv"
frames = "1:9"

[[video]]
name = "two"
fps = "30000/1001"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sequence.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "videos", "first", "last"),
    [
        ("uvg8", 8, "bunny", "yachtride"),
        ("uvg17", 17, "bunny", "twilight"),
        ("davis50", 50, "bear", "train"),
        ("uvg8mini", 8, "bunny", "kite-surf"),
        ("davis8", 8, "blackswan", "scooter-black"),
        ("uvg8mini_own", 8, "bunny", "kite-surf"),
        ("uvg8mini_bytes", 8, "bunny", "kite-surf"),
        ("davis8_bytes", 8, "blackswan", "scooter-black"),
    ],
)
def test_every_shipped_sequence_is_valid(name: str, videos: int, first: str, last: str) -> None:
    sequence = read_sequence(SHIPPED / f"{name}.toml")
    names = [video.name for video in sequence.videos]
    assert (sequence.name, len(names), names[0], names[-1]) == (name, videos, first, last)
    assert sequence.config.size == sequence.size


@pytest.mark.parametrize("name", ["uvg8", "uvg17", "davis50"])
def test_the_papers_sequences_have_the_papers_network_and_recipe(name: str) -> None:
    sequence = read_sequence(SHIPPED / f"{name}.toml")
    config, recipe = sequence.config, sequence.recipe
    assert (config.grid, config.strides) == ((9, 16), (5, 2, 2, 2, 2))
    assert (config.channels, config.lower_width, config.stem_width) == (112, 96, 512)
    assert config.fourier is not None
    assert (config.fourier.block, config.fourier.combine, config.fourier.placement) == (1, "replace", "reference")
    assert (recipe.epochs, recipe.batch, recipe.learning_rate, recipe.beta1) == (150, 1, 5e-4, 0.5)
    assert sequence.scaling == "average"


@pytest.mark.parametrize(
    ("name", "other"), [("uvg8mini_own", "uvg8mini"), ("uvg8mini_bytes", "uvg8mini"), ("davis8_bytes", "davis8")]
)
def test_sequences_of_own_values_have_the_clips_of_the_shared_one(name: str, other: str) -> None:
    own, shared = read_sequence(SHIPPED / f"{name}.toml"), read_sequence(SHIPPED / f"{other}.toml")
    assert own.videos == shared.videos
    assert (own.size, own.folders, own.scaling) == (shared.size, shared.folders, shared.scaling)
    assert shared.recipe.values == "shared"


def test_sequences_of_own_values_say_what_is_kept_of_which_network() -> None:
    places = read_sequence(SHIPPED / "uvg8mini_own.toml")
    assert places.config == read_sequence(SHIPPED / "uvg8mini.toml").config
    assert (places.recipe.values, places.recipe.density, places.recipe.epochs) == ("places", 0.125, 20)
    for name in ("uvg8mini_bytes", "davis8_bytes"):
        coded = read_sequence(SHIPPED / f"{name}.toml")
        assert coded.config.canvas is not None
        assert (coded.recipe.values, coded.recipe.rate, coded.recipe.epochs) == ("coded", 4.0, 24)


def test_what_a_file_says_is_what_is_read(tmp_path: Path) -> None:
    sequence = read_sequence(written(tmp_path, VALID))
    assert (sequence.size, sequence.scaling, sequence.folders) == ((40, 24), "average", ("clips", "."))
    assert sequence.config.fourier is not None
    assert sequence.config.fourier.block == 0
    assert (sequence.recipe.epochs, sequence.recipe.density) == (3, 0.25)
    one, two = sequence.videos
    assert (one.clip, one.frames, one.fps) == ("first.mkv", slice(1, 9), Fraction(24))
    assert (two.clip, two.frames, two.fps) == ("two", None, Fraction(30000, 1001))


def test_a_part_of_a_sequence_keeps_its_order(tmp_path: Path) -> None:
    sequence = read_sequence(written(tmp_path, VALID))
    assert [video.name for video in sequence.only(["two", "one"]).videos] == ["one", "two"]
    with pytest.raises(UsageError, match="three: not in sequence two, which has one, two"):
        sequence.only(["three"])
    assert [video.frames for video in sequence.first_frames(4).videos] == [slice(1, 5), slice(0, 4)]
    assert sequence.first_frames(100).videos[0].frames == slice(1, 9)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('scaling = "average"', 'scaling = "bicubic"', "scaling 'bicubic' is none of lanczos, average"),
        ('size = "40x24"', 'size = "40"', "size '40' is not WIDTHxHEIGHT"),
        ('size = "40x24"', 'size = "41x23"', "has no stride plan"),
        ('size = "40x24"', "", "the file lacks size"),
        ("fps = 24", 'colour = "red"', "the file has unknown colour; allowed: name, size, scaling, folders, fps"),
        ("fps = 24", "fps = 0", "fps: frame rate '0' is not between"),
        ('preset = "tiny"', 'preset = "huge"', "preset 'huge' is none of tiny, s, m, l"),
        ('preset = "tiny"', "presets = 1", r"\[network\] has unknown presets; allowed: preset, fourier"),
        ("fourier_block = 0", "fourier_block = 9", "Fourier block index 9: this network has blocks 0 to"),
        ("fourier_block = 0", "fourier_block = true", r"\[network\] fourier_block = True is not a whole number"),
        ("epochs = 3", "epoch = 3", r"\[recipe\] has unknown epoch; allowed: values, .*epochs, batch, density"),
        ("epochs = 3", "epochs = 3.5", r"\[recipe\] epochs = 3.5 is not a whole number"),
        ("epochs = 3", "epochs = 0", "epochs 0 is not allowed; choose 1 to 100000"),
        ("epochs = 3", "seed = 3", r"\[recipe\] has unknown seed"),
        ('frames = "1:9"', 'frames = "9"', "frame range '9' is not A:B"),
        ('frames = "1:9"', 'frames = "1:9:2"', "must be A:B without steps"),
        ('frames = "1:9"', 'path = "1"', r"\[\[video\]\] 0 has unknown path; allowed: name, clip, frames, fps"),
        ('frames = "1:9"', "stream = -1", r"\[\[video\]\] 0: stream -1 is not the index of a stream"),
        ('frames = "1:9"', "tolerate_damage = 1", r"\[\[video\]\] 0: tolerate_damage 1 is not true or false"),
        ('clip = "first.mkv"', 'clip = "/etc/passwd"', "leaves the data folder"),
        ('clip = "first.mkv"', 'clip = "../first.mkv"', "leaves the data folder"),
        ('name = "one"', 'name = "two"', "two videos are called two"),
        ('name = "one"', 'name = "17"', "is a number, too long or not printable"),
        ('name = "two"\nsize', 'name = "a/b"\nsize', "name 'a/b': use up to 64 letters"),
        ("[network]", "[network", "not a valid TOML file"),
        ("[[video]]", "[video]", "not a valid TOML file|at least one"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in VALID
    path = written(tmp_path, VALID.replace(old, new, 1))
    with pytest.raises(UsageError, match=says) as caught:
        read_sequence(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("learning_rate=0.01", {"learning_rate": 0.01}),
        ("optimiser=adam", {"optimiser": "adam"}),
        ('optimiser = "adam"', {"optimiser": "adam"}),
        ("epochs=3", {"epochs": 3}),
    ],
)
def test_a_recipes_value_can_be_set_by_a_text(text: str, setting: dict[str, object]) -> None:
    assert recipe_setting(text) == setting


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs", "`set='epochs'` is not KEY=VALUE"),
        ("epoch=3", "`set` has unknown epoch; allowed: values, .*epochs, batch"),
        ("epochs=many", "`set` epochs = 'many' is not a whole number"),
        ("seed=1", "`set` has unknown seed"),
    ],
)
def test_a_wrong_setting_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        recipe_setting(text)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x00" * 10, b"x" * (1 << 20) + b"yy"])
def test_what_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"not a (valid TOML|sequence) file"):
        read_sequence(path)
