"""The metadata of one video: size, timing, colour. Written by the trainer, carried by every artifact."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

from pfnr_runtime.video.colour_tags import PRIMARIES, TRANSFERS, USUAL, Tags, unusual_name
from pfnr_runtime.video.frame_times import FrameTimes

MAX_SIDE = 16384
# Controls, among them those that begin a terminal's commands; halves of characters; ends of lines.
UNNAMABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
MAX_FRAMES = 1_000_000
MATRICES = ("bt709", "bt601", "bt2020")
RANGES = ("limited", "full")


@dataclass(frozen=True)
class Colour:
    """The source's colour encoding. Decoded frames are always full-range RGB, with the source's curve.

    - matrix: one of `MATRICES`.
    - range: one of `RANGES`.
    - transfer: a key of `TRANSFERS`, such as smpte2084 (PQ); None for the matrix's usual one.
    - primaries: a key of `PRIMARIES`, such as smpte432 (Display P3); None for the matrix's usual ones.

    Video files are written with the same encoding.
    """

    matrix: str = "bt709"
    range: str = "limited"
    transfer: str | None = None
    primaries: str | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("matrix", self.matrix, MATRICES),
            ("range", self.range, RANGES),
            ("transfer", self.transfer, (None, *TRANSFERS)),
            ("primaries", self.primaries, (None, *PRIMARIES)),
        ):
            if value not in known:
                raise ValueError(f"colour {what} {value!r} is none of {', '.join(filter(None, known))}")

    @classmethod
    def from_tags(cls, matrix: str, range: str, *, transfer: int, primaries: int) -> Colour:
        """A Colour from code points of H.273; unspecified ones and the usual ones of the matrix are left out."""
        usual = USUAL[matrix]
        return cls(
            matrix,
            range,
            unusual_name(TRANSFERS, transfer, usual.transfer),
            unusual_name(PRIMARIES, primaries, usual.primaries),
        )

    @property
    def tags(self) -> Tags:
        """The code points for a file of these colours."""
        usual = USUAL[self.matrix]
        return Tags(
            usual.primaries if self.primaries is None else PRIMARIES[self.primaries],
            usual.transfer if self.transfer is None else TRANSFERS[self.transfer],
            usual.matrix,
        )

    @property
    def unusual(self) -> str:
        """As text: 'transfer smpte2084 and primaries smpte432', or '' where both are the usual ones."""
        given = {"transfer": self.transfer, "primaries": self.primaries}
        return " and ".join(f"{what} {name}" for what, name in given.items() if name is not None)


@dataclass(frozen=True)
class VideoRecord:
    """The metadata of a session's video.

    - name: what the user calls it.
    - frames: N ≥ 1.
    - width, height: in samples.
    - fps: frames per second; with `times`, the rate for outputs that cannot record times.
    - sample_aspect: width over height of one sample.
    - source: file name of the clip, without folders.
    - source_start: first frame taken from the source.
    - times: when each frame appears; None at a constant rate.

    A ValueError names a field that is out of range.
    """

    name: str
    frames: int
    width: int
    height: int
    fps: Fraction
    sample_aspect: Fraction = Fraction(1)
    colour: Colour = field(default_factory=Colour)
    source: str = ""
    source_start: int = 0
    times: FrameTimes | None = None

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 200 or UNNAMABLE.search(self.name):
            raise ValueError(f"session name {self.name!r} must have 1 to 200 printable characters")
        if not 1 <= self.frames <= MAX_FRAMES:
            raise ValueError(f"{self.frames} frames is outside 1 to {MAX_FRAMES}")
        for what, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE:
                raise ValueError(f"{what} {side} is outside 1 to {MAX_SIDE}")
        if not 0 < self.fps <= 1000:
            raise ValueError(f"{self.fps} frames per second is outside 0 to 1000")
        if not Fraction(1, 100) <= self.sample_aspect <= 100:
            raise ValueError(f"sample aspect {self.sample_aspect} is outside 1/100 to 100")
        if self.times is not None and len(self.times) != self.frames:
            raise ValueError(f"times of {len(self.times)} frames in a video of {self.frames}")

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return self.frames / self.fps if self.times is None else self.times.duration

    def pts(self, index: int) -> Fraction:
        """Presentation time of frame `index` in seconds, from 0; for N, the end of the video."""
        return index / self.fps if self.times is None else self.times.start(index)

    def pts_seconds(self, place: float) -> float:
        """`pts` as the nearest float, by integer division: fast, since decoders ask for every frame.

        place: a frame's number, or a position between frames: 3.25 is a quarter into frame 3's time.
        """
        if self.times is None:
            return place * self.fps.denominator / self.fps.numerator
        base, ticks, index = self.times.time_base, self.times.ticks, int(place)
        tick: float = ticks[index]
        if place != index:
            tick += (place - index) * (ticks[index + 1] - ticks[index])
        return tick * base.numerator / base.denominator

    def duration_seconds(self, index: int) -> float:
        """How long frame `index` stays, in seconds."""
        if self.times is None:
            return self.fps.denominator / self.fps.numerator
        return float(self.times.duration_of(index))

    def index_at(self, seconds: float | Fraction) -> int:
        """Index of the frame on screen at `seconds`; a ValueError outside [0, duration)."""
        # A tiny lift: the float nearest to a frame's time finds that frame, and the one nearest to the end of the
        # video is outside.
        exact = seconds
        if not isinstance(seconds, Fraction) and math.isfinite(seconds):
            exact = Fraction(seconds) + Fraction(1, 10**9)
        if not (seconds >= 0 and exact < self.duration):
            raise ValueError(f"{float(seconds):g} s is outside [0, {float(self.duration):g}) s of {self.name!r}")
        return math.floor(exact * self.fps) if self.times is None else self.times.index_at(Fraction(exact))

    def select(self, frames: Sequence[int]) -> VideoRecord:
        """The record of a video of only these frames, in this order, each for its original duration."""
        times = None if self.times is None else self.times.select(frames)
        return replace(self, frames=len(frames), times=times)

    def at_rate(self, fps: Fraction) -> VideoRecord:
        """The record of the same frames at a constant rate."""
        return replace(self, fps=fps, times=None)

    def faster(self, speed: Fraction) -> VideoRecord:
        """The record of the same video `speed` times as fast."""
        times = None if self.times is None else self.times.scaled(1 / speed)
        return replace(self, fps=self.fps * speed, times=times)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; fractions as 'a/b'."""
        value = asdict(self)
        for key in ("fps", "sample_aspect"):
            value[key] = f"{value[key].numerator}/{value[key].denominator}"
        for key in ("transfer", "primaries"):  # absent where usual, as in files that predate them
            if value["colour"][key] is None:
                del value["colour"][key]
        if self.times is None:  # absent at a constant rate, as in files that predate the field
            del value["times"]
        else:
            value["times"] = self.times.to_json()
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VideoRecord:
        """The inverse of `to_json`; a ValueError names what is missing, unknown or out of range."""
        given = require_fields(value, cls, optional=("times",))
        for key in ("fps", "sample_aspect"):
            given[key] = parse_fraction(given[key], key)
        given["colour"] = Colour(**require_fields(given["colour"], Colour, optional=("transfer", "primaries")))
        if "times" not in given:
            return cls(**given)
        times = given.pop("times")
        record = cls(**given)  # checked before a table of that many frames is made
        return replace(record, times=FrameTimes.from_json(times, record.frames))


def parse_fraction(text: Any, what: str) -> Fraction:
    """'25/1' as a Fraction; a ValueError names `what`."""
    # Only what to_json writes: Fraction would hang on '1e999999999'.
    match = re.fullmatch(r"(\d{1,30})(?:/(\d{1,30}))?", str(text), re.ASCII)
    if match is None or int(match[2] or 1) == 0:
        raise ValueError(f"{what} {str(text)[:50]!r} is not a fraction such as 30000/1001")
    return Fraction(int(match[1]), int(match[2] or 1))


def require_fields(value: Any, cls: type, optional: Collection[str] = ()) -> dict[str, Any]:
    """Check that `value` is a dictionary with exactly the fields of the dataclass `cls`, each of a plausible type.

    optional: fields that may be absent; they are then absent from the result too.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{cls.__name__} must be a JSON object, not {type(value).__name__}")
    names = {f.name for f in fields(cls)}
    if missing := names - value.keys() - set(optional):
        raise ValueError(f"{cls.__name__} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - names:
        raise ValueError(f"{cls.__name__} has unknown {', '.join(sorted(unknown))}")
    for f in fields(cls):
        if f.name not in value:
            continue
        expected: Any = {"int": int, "float": (int, float), "str": str, "bool": bool}.get(str(f.type))
        got = value[f.name]
        if expected is not None and (
            not isinstance(got, expected) or (isinstance(got, bool) and expected is not bool)
        ):
            raise ValueError(f"{cls.__name__}.{f.name} must be {f.type}, not {got!r}")
    return dict(value)
