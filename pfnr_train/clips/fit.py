"""Bringing a picture to a library's frame size: a centred crop to its shape, then a scale."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError
from pfnr_runtime.video.record import MAX_SIDE
from pfnr_train.clips.ffmpeg_log import av_errors

# swscale's own flag values, the same in every FFmpeg. The last two make it round alike on every machine.
LANCZOS, ACCURATE_RND, BITEXACT = 0x200, 0x40000, 0x80000
# How samples are scaled: Lanczos, or the plain average of the old samples that a new one overlaps, as the authors'
# trainer does from 1080p to 720p (adaptive average pooling).
SCALINGS = ("lanczos", "average")


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to a size.

    - source: its (width, height).
    - crop: (left, top, width, height) of the part that is kept.
    - size: the (width, height) it is scaled to.
    - sample_aspect: width over height of one sample afterwards.
    - squared: the sample aspect that the scale evens out, 1 where there is nothing to even out.
    - scaling: one of `SCALINGS`.
    """

    source: tuple[int, int]
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    sample_aspect: Fraction = Fraction(1)
    squared: Fraction = Fraction(1)
    scaling: str = "lanczos"

    @property
    def is_identity(self) -> bool:
        """Whether pictures pass unchanged."""
        return self.source == self.size and self.crop == (0, 0, *self.source)

    def sentence(self) -> str:
        """What happens to a picture, such as 'cropped 640×272 to 484×272 and scaled to 320×180 (Lanczos)'."""
        (w, h), (_, _, cw, ch), (tw, th) = self.source, self.crop, self.size
        name = "Lanczos" if self.scaling == "lanczos" else self.scaling
        steps = []
        if (cw, ch) != (w, h):
            steps.append(f"cropped {w}×{h} to {cw}×{ch}")
        if (tw, th) != (cw, ch):
            steps.append(f"scaled {'' if steps else f'{w}×{h} '}to {tw}×{th} ({name})")
        if not steps:
            return f"kept at {w}×{h}"
        shape = f", {self.squared} samples made square" if self.squared != 1 else ""
        return " and ".join(steps) + shape

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [H,W,3] of `source` size to uint8 [h,w,3] of `size`, untouched where they agree."""
        left, top, cw, ch = self.crop
        part = rgb[top : top + ch, left : left + cw]
        if (cw, ch) == self.size:
            return np.ascontiguousarray(part)
        return _lanczos(part, self.size) if self.scaling == "lanczos" else _average(part, self.size)


def fit_to(
    source: tuple[int, int],
    size: tuple[int, int] | None,
    sample_aspect: Fraction = Fraction(1),
    scaling: str = "lanczos",
) -> Fit:
    """The Fit of pictures of `source` (width, height), with samples of `sample_aspect`, to `size`.

    None, or their own size, keeps them unchanged, sample aspect included; any other size has square samples. A
    ClipError for a size outside 1 to 16384 on a side, a ValueError for a scaling not in `SCALINGS`.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling {scaling!r} is none of {', '.join(SCALINGS)}")
    w, h = source
    if size is None or tuple(size) == (w, h):
        return Fit((w, h), (0, 0, w, h), (w, h), sample_aspect)
    tw, th = size
    if not (1 <= tw <= MAX_SIDE and 1 <= th <= MAX_SIDE):
        raise ClipError(f"frame size {tw}×{th} is outside 1 to {MAX_SIDE} on a side; give another size")
    shape = Fraction(tw, th) / sample_aspect
    cw = min(w, max(1, round(h * shape)))
    ch = min(h, max(1, round(w / shape)))
    return Fit((w, h), ((w - cw) // 2, (h - ch) // 2, cw, ch), (tw, th), Fraction(1), sample_aspect, scaling)


def _lanczos(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

    # Channel by channel: swscale would scale RGB through YCbCr with subsampled chroma.
    out = np.empty((size[1], size[0], 3), np.uint8)
    reformatter = VideoReformatter()
    try:
        for channel in range(3):
            plane = VideoFrame.from_ndarray(np.ascontiguousarray(rgb[..., channel]), "gray")
            flags = LANCZOS | ACCURATE_RND | BITEXACT
            scaled = reformatter.reformat(plane, size[0], size[1], "gray", interpolation=flags)
            out[..., channel] = scaled.to_ndarray()
    except av_errors():
        h, w = rgb.shape[:2]
        raise ClipError(
            f"{w}×{h} cannot be scaled to {size[0]}×{size[1]} in one step; give a size nearer to it"
        ) from None
    return out


def _average(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Sample i of n is the average of the old samples in [floor(i·m/n), ceil((i+1)·m/n)), along each axis."""
    sums = rgb.astype(np.int64)
    counts = np.ones((), np.int64)
    for axis, n in ((0, size[1]), (1, size[0])):
        m = sums.shape[axis]
        new = np.arange(n, dtype=np.int64)
        first, last = new * m // n, -(-(new + 1) * m // n)
        before = np.zeros_like(sums, shape=(*sums.shape[:axis], 1, *sums.shape[axis + 1 :]))
        running = np.concatenate([before, np.cumsum(sums, axis)], axis)
        sums = running.take(last, axis) - running.take(first, axis)
        counts = counts * np.expand_dims(last - first, 1 - axis)
    return np.rint(sums / counts[..., None]).astype(np.uint8)
