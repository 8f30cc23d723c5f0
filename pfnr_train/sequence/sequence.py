"""A sequence: videos in training order, with one network and one recipe for all, from a TOML file.

    name = "uvg8mini" size = "320x180"              # of every frame; clips are cropped and scaled to it scaling =
    "lanczos"           # or "average", the average pooling of the authors' 1080p to 720p step folders =
    ["uvg8mini", "."]   # where below the data folder the clips may lie; the first that has one counts fps = "120"
    # for folders of images, which record no rate; optional

    [network]                     # as the options of `pfnr-train add`
    preset = "tiny"

    [recipe]                      # `name` of a recipe to start from, and fields of `Recipe`
    epochs = 20

    [[video]]
    name = "bunny"
    clip = "0_bunny"              # file, file without suffix, or folder of images; `name` where left out
    frames = "0:48"               # half-open range; all where left out
    parent = "earlier"            # stored as differences from that video; none where left out

Unknown keys are errors that list the known ones: a misspelt key could otherwise waste days of training.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.regular_file import require_regular
from pfnr_runtime.video.ranges import parse_frame_range
from pfnr_runtime.video.rate import parse_rate
from pfnr_train.clips import SCALINGS
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.options import ModelOptions, model_config
from pfnr_train.parsing import parse_size
from pfnr_train.session.recipe import Recipe, named_recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SEQUENCE_KEYS = ("name", "size", "scaling", "folders", "fps", "network", "recipe", "video")
VIDEO_KEYS = ("name", "clip", "frames", "fps", "stream", "tolerate_damage", "parent")
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SequenceVideo:
    """One video of a sequence.

    - clip: its path below a folder.
    - frames: the range of it, None for all.
    - fps: frames per second, None for the clip's.
    - stream: index of the stream in a video file, as ffprobe shows it, None for the best.
    - tolerate_damage: whether whole frames are held in place of damaged ones.
    - parent: an earlier video whose session this one's is stored as differences from; empty for none.
    """

    name: str
    clip: str
    frames: slice | None = None
    fps: Fraction | None = None
    stream: int | None = None
    tolerate_damage: bool = False
    parent: str = ""


@dataclass(frozen=True)
class VideoSequence:
    """A sequence as read from its file. size: (width, height) of every frame. recipe: with the caller's seed."""

    name: str
    size: tuple[int, int]
    scaling: str
    folders: tuple[str, ...]
    config: ModelConfig
    recipe: Recipe
    videos: tuple[SequenceVideo, ...]

    def only(self, names: list[str]) -> VideoSequence:
        """The same sequence with only these of its videos, in its order; a UsageError names unknown ones."""
        known = [video.name for video in self.videos]
        if unknown := [name for name in names if name not in known]:
            raise UsageError(f"{', '.join(unknown)}: not in sequence {self.name}, which has {', '.join(known)}")
        chosen = tuple(video for video in self.videos if video.name in names)
        _check_parents(chosen, self.recipe)
        return replace(self, videos=chosen)

    def recipe_of(self, video: SequenceVideo) -> Recipe:
        """How one of its videos is trained."""
        return replace(self.recipe, parent=video.parent) if video.parent else self.recipe

    def first_frames(self, count: int) -> VideoSequence:
        """The same sequence with at most the first `count` frames of every range."""
        if count < 2:
            raise UsageError(f"{count} frames of each video are too few; take 2 or more")

        def shorten(span: slice | None) -> slice:
            start, stop = (span.start or 0, span.stop) if span is not None else (0, None)
            return slice(start, start + count if stop is None else min(stop, start + count))

        return replace(self, videos=tuple(replace(v, frames=shorten(v.frames)) for v in self.videos))


def read_sequence(path: Path) -> VideoSequence:
    """The sequence that a TOML file describes; a UsageError names what is wrong in it."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: larger than 1 MiB, so not a sequence file")
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a valid TOML file ({error})") from None
    try:
        return _sequence(document)
    except PfnrError as error:
        raise UsageError(f"{path}: {error}") from None


def recipe_setting(text: str) -> dict[str, Any]:
    """'learning_rate=0.01' as {'learning_rate': 0.01}, as in a file's [recipe]; a UsageError for what is not."""
    key, equals, value = text.partition("=")
    try:
        given = tomllib.loads(text)
    except ValueError:  # also of a number of too many digits
        given = {key.strip(): value.strip()}  # a text without its quotes
    if not equals or len(given) != 1:
        raise UsageError(f"`set={text!r}` is not KEY=VALUE, such as learning_rate=0.01")
    return _checked(given, Recipe, "`set`", without=("seed",))


def _sequence(document: Mapping[str, Any]) -> VideoSequence:
    _check_keys(document, SEQUENCE_KEYS, "the file", required=("name", "size", "network", "video"))
    name = _text(document["name"], "name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UsageError(f"name {name!r}: use up to 64 letters, digits, dots, hyphens and underscores")
    size = parse_size(_text(document["size"], "size"))
    scaling = _text(document.get("scaling", SCALINGS[0]), "scaling")
    if scaling not in SCALINGS:
        raise UsageError(f"scaling {scaling!r} is none of {', '.join(SCALINGS)}")
    folders = document.get("folders", ["."])
    if not isinstance(folders, list) or not folders:
        raise UsageError(f"folders {folders!r} is not a list of folders below the data folder")
    rate = None if "fps" not in document else _rate(document["fps"], "fps")
    options = ModelOptions(**_checked(document["network"], ModelOptions, "[network]"))
    videos = document["video"]
    if not isinstance(videos, list) or not videos:
        raise UsageError("there must be at least one [[video]]")
    parsed = tuple(_video(video, k, rate) for k, video in enumerate(videos))
    names = [video.name for video in parsed]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(f"two videos are called {', '.join(twice)}; session names must be unique")
    recipe = _recipe(document.get("recipe", {}))
    _check_parents(parsed, recipe)
    return VideoSequence(
        name,
        size,
        scaling,
        tuple(_below(_text(folder, "folders"), "folders") for folder in folders),
        model_config(options, None, size, size, recipe.values),
        recipe,
        parsed,
    )


def _video(value: Any, index: int, rate: Fraction | None) -> SequenceVideo:
    where = f"[[video]] {index}"
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not a table")
    _check_keys(value, VIDEO_KEYS, where, required=("name",))
    name = _text(value["name"], f"{where}: name")
    if name.isdecimal() or not name.isprintable() or len(name) > 100:
        raise UsageError(f"{where}: name {name[:100]!r} is a number, too long or not printable")
    span = None
    if "frames" in value:
        span = parse_frame_range(_text(value["frames"], f"{where}: frames"))
        if span.step not in (None, 1) or (span.start or 0) < 0 or (span.stop is not None and span.stop < 0):
            raise UsageError(f"{where}: frames {value['frames']!r} must be A:B without steps or negative numbers")
    return SequenceVideo(
        name,
        _below(_text(value.get("clip", name), f"{where}: clip"), f"{where}: clip"),
        span,
        _rate(value["fps"], f"{where}: fps") if "fps" in value else rate,
        _stream(value.get("stream"), f"{where}: stream"),
        _flag(value.get("tolerate_damage", False), f"{where}: tolerate_damage"),
        _text(value["parent"], f"{where}: parent") if "parent" in value else "",
    )


def _check_parents(videos: tuple[SequenceVideo, ...], recipe: Recipe) -> None:
    names = [video.name for video in videos]
    for k, video in enumerate(videos):
        if video.parent and video.parent not in names[:k]:
            raise UsageError(f"video {video.name!r}: its parent {video.parent!r} is no earlier video")
        if video.parent:
            replace(recipe, parent=video.parent)  # a UsageError where its values cannot have one


def _recipe(value: Any) -> Recipe:
    named = isinstance(value, dict) and "name" in value
    base = named_recipe(_text(value["name"], "[recipe] name")) if named else Recipe()
    rest = {key: given for key, given in value.items() if key != "name"} if named else value
    return replace(base, **_checked(rest, Recipe, "[recipe]", without=("seed",)))


def _checked(value: Any, cls: Any, where: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table whose keys are fields of a dataclass, each value of its field's type."""
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not a table")
    kinds = {f.name: str(f.type) for f in fields(cls) if f.name not in without}
    _check_keys(value, tuple(kinds), where)
    for key, given in value.items():
        kind = kinds[key].removesuffix(" | None")
        accepted: Any = {"int": int, "float": (int, float), "str": str, "bool": bool}[kind]
        if not isinstance(given, accepted) or (isinstance(given, bool) and kind != "bool"):
            words = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}[kind]
            raise UsageError(f"{where} {key} = {given!r} is not {words}")
    return value


def _check_keys(
    given: Mapping[str, Any], allowed: tuple[str, ...], where: str, required: tuple[str, ...] = ()
) -> None:
    if unknown := [key for key in given if key not in allowed]:
        raise UsageError(f"{where} has unknown {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    if missing := [key for key in required if key not in given]:
        raise UsageError(f"{where} lacks {', '.join(missing)}")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{what} {value!r} is not a text")
    return value


def _stream(value: Any, what: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise UsageError(f"{what} {value!r} is not the index of a stream, such as 0")
    return value


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{what} {value!r} is not true or false")
    return value


def _below(text: str, what: str) -> str:
    """A path that stays below the folder it is joined to."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text:
        raise UsageError(f"{what} {text!r} leaves the data folder; give a path below it, without ..")
    return text


def _rate(value: Any, what: str) -> Fraction:
    try:
        return parse_rate(str(value))
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
