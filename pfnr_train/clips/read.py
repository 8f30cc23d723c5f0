"""Reading a range of a clip's frames at one size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError
from pfnr_runtime.video.record import MAX_FRAMES
from pfnr_train.clips.fit import Fit, fit_to
from pfnr_train.clips.info import ClipInfo
from pfnr_train.clips.picture import to_rgb, upright_size
from pfnr_train.clips.probe import probe
from pfnr_train.clips.read_images import list_images, read_images
from pfnr_train.clips.read_video import DamagedError, VideoReader, count_packets

if TYPE_CHECKING:
    from av import VideoFrame

MIN_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a clip, ready to learn or to compare with.

    frames: uint8 [N,H,W,3], full-range RGB, N ≥ 2. info: the clip they come from. fit: how they were
    brought to their size. start: number of the first of them in the clip. sha256: `frames_digest` of them.
    """

    frames: NDArray[np.uint8]
    info: ClipInfo
    fit: Fit
    start: int
    sha256: str

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.info.fps

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
) -> Clip:
    """Frames A to B-1 of the clip at `path` (all without `frames`), cropped and scaled to `size`.

    path: what `probe` takes. frames: slice(A, B), either end may be None. size: (width, height), None for
    the clip's own. fps: overrides the clip's own rate. scaling: one of `SCALINGS`. Decoding stops at B, and
    only frames of the final size are held. A ClipError for a clip that cannot be read, is damaged within
    the range, changes its frame size, or has fewer frames than asked for.
    """
    info = probe(path, fps)
    start, stop = check_range(frames, info)
    fit = fit_to((info.width, info.height), size, info.sample_aspect, scaling)
    reader = _ImageSource(info) if info.kind == "images" else _VideoSource(info)
    store = _FrameStore(fit.size, info.path, None if stop is None else stop - start)
    notes = list(info.notes)
    index = reader.first(start)
    try:
        for frame in reader.frames(start):
            if (shown := upright_size(frame)) != fit.source:
                raise ClipError(
                    f"{info.path}: frame {index} is {shown[0]}×{shown[1]}, the frames before it are "
                    f"{info.width}×{info.height}; {_advice(start, index, 'convert it to one size')}"
                )
            if index >= start:
                rgb, frame_notes = to_rgb(frame, info.path)
                notes += [note for note in frame_notes if note not in notes]
                store.add(fit.apply(rgb))
            index += 1
            if index == stop:
                break
        else:
            if missing := reader.shortfall():
                index = reader.whole(index)
                raise DamagedError(missing)
    except DamagedError as damage:
        readable = f"{index} frame{'s' if index != 1 else ''}"
        advice = _advice(start, index, "get a whole copy")
        raise ClipError(f"{info.path}: damaged or cut short after {readable} ({damage}); {advice}") from None
    if stop is not None and index < stop:
        raise ClipError(f"{info.path}: {_leaves(slice(start, stop), index)}")
    if len(store) < MIN_FRAMES:
        if index <= start:
            raise ClipError(f"{info.path}: {_leaves(slice(start, stop), index)}")
        what = f"from frame {start} on this has" if start else "this has"
        raise ClipError(
            f"{info.path}: a video needs at least {MIN_FRAMES} frames, and {what} one; "
            "give a longer clip, or a folder of images"
        )
    notes += [note for note in reader.notes() if note not in notes]
    array = store.array()
    return Clip(array, replace(info, notes=tuple(notes)), fit, start, frames_digest(array))


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
        raise ClipError(f"{info.path}: frames are read one after another; leave out the step {frames.step}")
    start, stop = frames.start or 0, frames.stop
    count = info.frames
    if start < 0 or (stop is not None and (stop < 0 or stop > (MAX_FRAMES if count is None else count))):
        known = count if count is not None else count_packets(info.path)
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
        return f"{otherwise}, or use what is good with --frames {start}:{readable}"
    if readable >= MIN_FRAMES:
        return f"{otherwise}, or use what is good with --frames 0:{readable}"
    return otherwise


class _VideoSource:
    def __init__(self, info: ClipInfo) -> None:
        self._reader = VideoReader(info.path, info.fps)

    def first(self, start: int) -> int:
        # A video is decoded from its beginning: seeking is not frame-exact in every format.
        return 0

    def frames(self, start: int) -> Iterator[VideoFrame]:
        return self._reader.frames()

    def shortfall(self) -> str:
        return self._reader.shortfall()

    def whole(self, count: int) -> int:
        return count - self._reader.last_is_doubtful

    def notes(self) -> tuple[str, ...]:
        return self._reader.notes


class _ImageSource:
    def __init__(self, info: ClipInfo) -> None:
        self._path = info.path

    def first(self, start: int) -> int:
        return start

    def frames(self, start: int) -> Iterator[VideoFrame]:
        return read_images(list_images(self._path), start)

    def shortfall(self) -> str:
        return ""

    def whole(self, count: int) -> int:
        return count

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

    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._bytes, np.uint8).reshape(self._count, *self._shape)

    def _check(self, count: int) -> None:
        if count > MAX_FRAMES:
            raise ClipError(f"{self._path}: more than {MAX_FRAMES} frames; take a part of it with --frames A:B")
        if self._limit and count * self._shape[0] * self._shape[1] * 3 > self._limit:
            self._refuse(count)

    def _refuse(self, count: int) -> None:
        raise ClipError(
            f"{self._path}: {count} frames of {self._shape[1]}×{self._shape[0]} do not fit into memory; "
            "take fewer with --frames A:B, or smaller ones with --size WxH"
        )


def _memory() -> int:
    """The machine's memory in bytes, 0 where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
