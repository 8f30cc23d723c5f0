"""A clip's metadata before its frames are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.record import Colour

DEFAULT_FPS = Fraction(25)
MAX_FPS = Fraction(1000)


@dataclass(frozen=True)
class ClipInfo:
    """One clip on disk.

    - path: the file, the folder, or the pattern of a numbered sequence.
    - kind: "video" or "images".
    - width, height: in samples, as displayed.
    - frames: how many the file declares, None where it does not (a folder always does); only a guess until
      the frames were read.
    - fps: frames per second; with `times` on average, without the time that the last frame is held.
    - sample_aspect: width over height of one sample.
    - colour: the YCbCr matrix and range its samples are read with; for RGB sources, what a writer of YCbCr
      should use.
    - duration: seconds, None where unknown.
    - notes: messages about what was assumed or left out.
    - times: of the frames that were read, where they are not evenly spaced; else None.
    - stream: index of the stream in a video file, as ffprobe shows it.
    - others: indices of the other videos in the file.
    """

    path: Path
    kind: str
    width: int
    height: int
    frames: int | None
    fps: Fraction
    sample_aspect: Fraction = Fraction(1)
    colour: Colour = field(default_factory=Colour)
    duration: Fraction | None = None
    notes: tuple[str, ...] = ()
    times: FrameTimes | None = None
    stream: int | None = None
    others: tuple[int, ...] = ()


def choose_fps(given: Fraction | None, found: Fraction | None, where: str) -> tuple[Fraction, tuple[str, ...]]:
    """The frame rate to use: the given one, else the one found, else the default, with a note."""
    if given is not None:
        return given, ()
    if found is None or found == 0:
        return DEFAULT_FPS, (f"no frame rate in the {where}: {DEFAULT_FPS} assumed",)
    if not 0 < found <= MAX_FPS:
        return DEFAULT_FPS, (f"{float(found):g} frames per second is not credible: {DEFAULT_FPS} assumed",)
    return found, ()


def sane_aspect(found: Fraction | None) -> tuple[Fraction, tuple[str, ...]]:
    """The sample aspect to use: the one found if valid, else 1."""
    if not found:
        return Fraction(1), ()
    if not Fraction(1, 100) <= found <= 100:
        return Fraction(1), (f"sample aspect {found} is not credible: square samples assumed",)
    return found, ()
