"""Reading a range of a clip's frames at one size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.record import MAX_FRAMES
from pfnr_train.clips.damage import Damage, good_ranges
from pfnr_train.clips.fit import Fit, fit_to
from pfnr_train.clips.info import ClipInfo
from pfnr_train.clips.picture import Picture, to_rgb
from pfnr_train.clips.probe import probe
from pfnr_train.clips.read_images import DamagedError, list_images, read_image
from pfnr_train.clips.read_video import VideoReader, count_packets
from pfnr_train.clips.timing import Timing

MIN_FRAMES = 2
# Frames decoded after the first damage, to report which range is good.
MAX_SCANNED = 2000
MAX_NOTED = 5


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a clip, for training or comparison.

    - frames: uint8 [N,H,W,3], full-range RGB, N ≥ 2.
    - info: the clip they come from.
    - fit: how they were brought to their size.
    - start: number of the first of them in the clip.
    - sha256: `frames_digest` of them.
    """

    frames: NDArray[np.uint8]
    info: ClipInfo
    fit: Fit
    start: int
    sha256: str

    @property
    def fps(self) -> Fraction:
        """Frames per second; the average if there are `times`."""
        return self.info.fps

    @property
    def times(self) -> FrameTimes | None:
        """When each frame is shown, from 0; None if evenly spaced."""
        return self.info.times

    @property
    def sample_aspect(self) -> Fraction:
        """Width over height of one sample of `frames`, after cropping and scaling."""
        return self.fit.sample_aspect


def read_clip(
    path: str | PathLike[str],
    frames: slice | None = None,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    scaling: str = "lanczos",
    stream: int | None = None,
    tolerate_damage: bool = False,
    reading: str = "exact",
) -> Clip:
    """Frames A to B-1 of the clip at `path` (all without `frames`), cropped and scaled to `size`.

    - path: what `probe` takes.
    - frames: slice(A, B), either end may be None.
    - size: (width, height), None for the clip's own.
    - fps: overrides the clip's own times.
    - scaling: one of `SCALINGS`.
    - stream: index of the stream in a video file, as ffprobe shows it, None for the best.
    - tolerate_damage: hold the last whole frame in place of damaged ones (in front of all whole ones, the first),
      with a note. Decoders do not conceal damage the same way twice.
    - reading: one of `READINGS`.

    Decoding stops at B, and only frames of the final size are held. A ClipError for a clip that cannot be
    read, is damaged within the range, changes its frame size, or has fewer frames than asked for.
    """
    info = probe(path, fps, stream)
    start, stop = check_range(frames, info)
    fit = fit_to((info.width, info.height), size, info.sample_aspect, scaling)
    source = _ImageSource(info, reading) if info.kind == "images" else _VideoSource(info, reading)
    store = _FrameStore(fit.size, info.path, None if stop is None else stop - start)
    notes = list(info.notes)
    index, scanned, held, ended = source.first(start), 0, 0, False
    for picture in source.pictures(start):
        if index == stop or scanned > MAX_SCANNED:
            break
        if index >= start and not tolerate_damage and (scanned or source.is_damaged(start, index)):
            # Later frames are only read to report which range is good.
            scanned += 1
        elif index >= start and picture is not None and (reading == "fast" or not source.covers(index)):
            rgb, frame_notes = _fitted(picture, index, start, info, fit, reading)
            notes += [note for note in frame_notes if note not in notes]
            for _ in range(held + 1):
                store.add(rgb)
            held = 0
        elif index >= start and len(store):
            store.add(store.last())
        elif index >= start:
            held += 1
        index += 1
    else:
        ended = index != stop
    damages = [d for d in source.damages if d.touches(start, stop)]
    if ended:
        cut, promise = source.shortfall()
        if cut:
            damages.append(Damage(source.whole(index), index, cut, None))
        elif promise:
            notes.append(f"{promise} and it has {index} frames: all of these are used")
    if damages and not tolerate_damage:
        raise ClipError(f"{info.path}: {_damage_text(damages, start, index, ended)}")
    notes += [d.note() for d in damages[:MAX_NOTED]]
    if len(damages) > MAX_NOTED:
        notes.append(f"damaged in {len(damages) - MAX_NOTED} more places")
    if damages and not len(store) and index > start:
        raise ClipError(f"{info.path}: no frame is intact ({damages[0].reason}); get an intact copy")
    if stop is not None and index < stop:
        raise ClipError(f"{info.path}: {_leaves(slice(start, stop), index)}")
    if len(store) < MIN_FRAMES:
        if index <= start:
            raise ClipError(f"{info.path}: {_leaves(slice(start, stop), index)}")
        what = f"from frame {start} on it has" if start else "this has"
        raise ClipError(
            f"{info.path}: a video needs at least {MIN_FRAMES} frames, and {what} one; "
            "give a longer clip, or a folder of images"
        )
    if fps is None and (timing := source.timing(start, index)).fps is not None:
        info = replace(info, fps=timing.fps, times=timing.times)
        notes += timing.notes
    notes += [note for note in source.notes() if note not in notes]
    array = store.array()
    if ended:
        length = info.times.duration if info.times else len(array) / info.fps
        info = replace(info, frames=index, duration=info.duration if start else length)
    return Clip(array, replace(info, notes=tuple(notes)), fit, start, frames_digest(array))


def _fitted(
    picture: Picture, index: int, start: int, info: ClipInfo, fit: Fit, reading: str
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Frame `index` as RGB of the final size, and notes on what was lost."""
    if (shown := picture.upright_size) != fit.source:
        raise ClipError(
            f"{info.path}: frame {index} is {shown[0]}×{shown[1]}, the frames before it are "
            f"{info.width}×{info.height}; {_advice(start, index, 'convert it to one size')}"
        )
    rgb, notes = to_rgb(picture, info.path, reading)
    return fit.apply(rgb), notes


def frames_digest(frames: NDArray[np.uint8]) -> str:
    """SHA-256, in hexadecimal, of the bytes of uint8 [N,H,W,3] followed by their shape as 'NxHxWx3'."""
    digest = hashlib.sha256(np.ascontiguousarray(frames).data)
    digest.update("x".join(map(str, frames.shape)).encode())
    return digest.hexdigest()


def check_range(frames: slice | None, info: ClipInfo) -> tuple[int, int | None]:
    """First frame and the one after the last (None: to the end) of a half-open range; a ClipError if it
    runs backwards, takes steps, or leaves the clip."""
    if frames is None:
        return 0, None
    if frames.step not in (None, 1):
        raise ClipError(f"{info.path}: frames are read in order; leave out the step {frames.step}")
    start, stop = frames.start or 0, frames.stop
    count = info.frames
    if info.kind == "video" and count is not None and max(start + 1, stop or 0) > count:
        count = count_packets(info.path, info.stream)  # a header may be stale
    if start < 0 or (stop is not None and (stop < 0 or stop > (MAX_FRAMES if count is None else count))):
        known = count if count is not None else count_packets(info.path, info.stream)
        raise ClipError(f"{info.path}: {_leaves(frames, known)}")
    if count is not None and start >= count:
        raise ClipError(f"{info.path}: {_leaves(frames, count)}")
    if stop is not None and stop - start < MIN_FRAMES:
        what = "is empty" if stop <= start else "is one frame, and a video needs at least 2"
        raise ClipError(f"{info.path}: the range {_text(frames)} {what}; it is half-open, so 0:32 is 32 frames")
    return start, stop


def _text(frames: slice) -> str:
    return f"{'' if frames.start is None else frames.start}:{'' if frames.stop is None else frames.stop}"


def _leaves(frames: slice, count: int) -> str:
    return f"the range {_text(frames)} leaves the clip, which has {count} frames (0:{count})"


def _advice(start: int, readable: int, otherwise: str) -> str:
    if readable - start >= MIN_FRAMES:
        return f"{otherwise}, or use what is good with `frames={start}:{readable}`"
    if readable >= MIN_FRAMES:
        return f"{otherwise}, or use what is good with `frames=0:{readable}`"
    return otherwise


def _damage_text(damages: list[Damage], start: int, index: int, ended: bool) -> str:
    """Describes the damage in frames `start` to `index` - 1, and the intact ranges."""
    first = damages[0]
    to_the_end = ended and max(first.first, index if first.end is None else first.end) >= index
    readable = f"{first.first} frame{'s' if first.first != 1 else ''}"
    where = f"or cut short after {readable}" if to_the_end else first.place()
    more = f" and in {len(damages) - 1} more places" if len(damages) > 1 and not to_the_end else ""
    good = good_ranges(damages, start, index, MIN_FRAMES) or good_ranges(damages, 0, index, MIN_FRAMES)
    ranges = " or ".join(f"`frames={a}:{b}`" for a, b in good[:2])
    advice = (
        "get an intact copy" + (", " if ranges else " or ") + "hold whole frames over it with `tolerate_damage`"
    )
    return f"damaged {where} ({first.reason}){more}; {advice}" + (
        f", or use what is good with {ranges}" if ranges else ""
    )


class _VideoSource:
    def __init__(self, info: ClipInfo, reading: str) -> None:
        self._reader = VideoReader(info.path, info.stream, with_alpha=reading == "exact")
        self._fps = info.fps

    @property
    def damages(self) -> list[Damage]:
        return self._reader.damage.found

    def first(self, start: int) -> int:
        # Decoded from the beginning: seeking is not frame-exact in every format.
        return 0

    def pictures(self, start: int) -> Iterator[Picture]:
        return self._reader.pictures()

    def is_damaged(self, start: int, index: int) -> bool:
        return any(d.touches(start, index + 1) for d in self.damages[-1:])

    def covers(self, index: int) -> bool:
        return any(d.covers(index) for d in self.damages[-1:])

    def shortfall(self) -> tuple[str, str]:
        return self._reader.shortfall()

    def whole(self, count: int) -> int:
        return count - self._reader.last_is_doubtful

    def timing(self, start: int, stop: int) -> Timing:
        return replace(self._reader.clock(start, stop), expected=self._fps).timing()

    def notes(self) -> tuple[str, ...]:
        return self._reader.notes


class _ImageSource:
    def __init__(self, info: ClipInfo, reading: str) -> None:
        self._path = info.path
        self._by_exif = reading == "exact"
        self.damages: list[Damage] = []

    def first(self, start: int) -> int:
        return start

    def pictures(self, start: int) -> Iterator[Picture | None]:
        for number, path in enumerate(list_images(self._path)[start:], start):
            picture = None
            try:
                picture = read_image(path, self._by_exif)
            except DamagedError as error:
                self.damages.append(Damage(number, number + 1, str(error), None))
            yield picture

    def is_damaged(self, start: int, index: int) -> bool:
        return bool(self.damages)

    def covers(self, index: int) -> bool:
        return any(d.covers(index) for d in self.damages[-1:])

    def shortfall(self) -> tuple[str, str]:
        return "", ""

    def whole(self, count: int) -> int:
        return count

    def timing(self, start: int, stop: int) -> Timing:
        return Timing(None)

    def notes(self) -> tuple[str, ...]:
        return ()


class _FrameStore:
    """Frames of one size in one growing buffer, within the machine's memory."""

    def __init__(self, size: tuple[int, int], path: Path, expected: int | None) -> None:
        self._shape = (size[1], size[0], 3)
        self._path = path
        self._bytes = bytearray()
        self._count = 0
        self._limit = _memory()
        self._check(expected or 0)

    def __len__(self) -> int:
        return self._count

    def add(self, rgb: NDArray[np.uint8]) -> None:
        self._count += 1
        self._check(self._count)
        try:
            self._bytes += rgb.data
        except MemoryError:
            self._refuse(self._count)

    def last(self) -> NDArray[np.uint8]:
        size = len(self._bytes) // self._count
        return np.frombuffer(bytes(self._bytes[-size:]), np.uint8)

    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._bytes, np.uint8).reshape(self._count, *self._shape)

    def _check(self, count: int) -> None:
        if count > MAX_FRAMES:
            raise ClipError(f"{self._path}: more than {MAX_FRAMES} frames; take a part of it with `frames=A:B`")
        if self._limit and count * self._shape[0] * self._shape[1] * 3 > self._limit:
            self._refuse(count)

    def _refuse(self, count: int) -> None:
        raise ClipError(
            f"{self._path}: {count} frames of {self._shape[1]}×{self._shape[0]} do not fit into memory; "
            "take fewer with `frames=A:B`, or smaller ones with `size=WxH`"
        )


def _memory() -> int:
    """The machine's memory in bytes, 0 if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
