"""From one decoded PyAV frame to an upright full-range RGB array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.ffmpeg_log import av_errors

if TYPE_CHECKING:
    from av import VideoFrame

Turn = tuple[bool, bool, bool]

# How frames become RGB. "exact": the same samples on every processor, rounded to the nearest. "fast": as until
# November 2026, with FFmpeg's processor-specific shortcuts; kept so that libraries from that time recognise their
# clips.
READINGS = ("exact", "fast")
# swscale's own flag values, the same in every FFmpeg: bilinear, full chroma in and out, accurate rounding,
# bit-exact. Without them 10-bit pictures come out 1.6 steps too dark and 8-bit ones half a step.
EXACT = 0x2 | 0x2000 | 0x4000 | 0x40000 | 0x80000
# AVColorSpace codes and the numbers swscale has for their matrices. BT.2020 with constant luminance (10) is
# read with the ordinary matrix, which swscale has.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT709, BT601 = 1, 5
LIMITED_RANGE, FULL_RANGE = 1, 2
TRANSPARENT_NOTE = "transparent parts are shown on black"
TILTED_NOTE = "its display matrix is not a quarter turn or mirror: ignored"


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame and how it is turned upright.

    turn: (transpose, flip rows, flip columns), applied in this order; None for a display matrix that is not a
    quarter turn or mirror.
    """

    frame: VideoFrame
    turn: Turn | None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as shown."""
        w, h = self.frame.width, self.frame.height
        return (h, w) if self.turn and self.turn[0] else (w, h)


def orientation(frame: VideoFrame) -> Turn | None:
    """The turn that a frame's display matrix specifies; None if it is not a quarter turn or mirror."""
    try:
        side_data: Any = frame.side_data
        matrix = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)
    except KeyError:
        return False, False, False
    except ValueError:
        # Side data unknown to this PyAV, such as a photo's EXIF, hides the matrix; the angle is still available,
        # mirroring is not.
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        return [(False, False, False), (True, True, False), (False, True, True), (True, False, True)][turns]
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    # Shown at (a·x + c·y, b·x + d·y).
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) * 100 > max(straight, crossed) or not max(straight, crossed):
        return None
    return (True, b < 0, c < 0) if crossed > straight else (False, d < 0, a < 0)


def to_rgb(picture: Picture, path: Path, reading: str = "exact") -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 [H,W,3] full-range RGB of `picture`, upright, and notes on what was lost.

    The stream's own matrix and range are used; an untagged YCbCr stream is taken as BT.601 in limited range,
    untagged grey as full range. reading: one of `READINGS`. A ClipError for pixel formats that FFmpeg cannot
    turn into RGB.
    """
    frame = picture.frame
    notes: list[str] = []
    options: dict[str, Any] = {"interpolation": EXACT} if reading == "exact" else {}
    try:
        rgb: NDArray[Any]
        if reading == "exact" and _is_limited_grey(frame):
            rgb = _expanded_grey(frame)
        else:
            rgb = frame.to_ndarray(format="rgb24", **_tags(frame), **options)
        if has_alpha(frame):
            alpha = frame.to_ndarray(format="rgba", **options)[..., 3:]
            if alpha.min() < 255:
                rgb = ((rgb.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
                notes.append(TRANSPARENT_NOTE)
    except av_errors():
        raise ClipError(
            f"{path}: its pixels ({frame.format.name}, colour matrix {int(frame.colorspace)}) cannot be "
            "turned into RGB; convert it to ordinary 8-bit 4:2:0 video first"
        ) from None
    turn = picture.turn
    if turn is None:
        notes.append(TILTED_NOTE)
        turn = (False, False, False)
    transpose, flip_rows, flip_columns = turn
    if transpose:
        rgb = rgb.transpose(1, 0, 2)
    if flip_rows:
        rgb = rgb[::-1]
    if flip_columns:
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb), tuple(notes)


def _tags(frame: VideoFrame) -> dict[str, Any]:
    # Given explicitly, and PyAV heeds them only where the two sides differ. RGB itself has neither matrix nor
    # range, so the destination's name changes nothing.
    matrix = MATRICES.get(int(frame.colorspace))
    full = int(frame.color_range) == FULL_RANGE
    if frame.format.is_rgb or not (matrix or full):
        return {}
    source = matrix or BT601
    return {
        "src_colorspace": source,
        "dst_colorspace": BT601 if source != BT601 else BT709,
        "src_color_range": FULL_RANGE if full else LIMITED_RANGE,
        "dst_color_range": FULL_RANGE,
    }


def _is_limited_grey(frame: VideoFrame) -> bool:
    grey = frame.format.name.startswith("gray") and frame.format.components[0].bits <= 16
    return grey and int(frame.color_range) == LIMITED_RANGE


def _expanded_grey(frame: VideoFrame) -> NDArray[np.uint8]:
    """Limited-range grey as RGB; swscale treats all grey as full range, whatever its tag."""
    step = 1 << (frame.format.components[0].bits - 8)
    # Native byte order, which PyAV can convert to an array.
    samples = frame.to_ndarray().astype(np.float64).reshape(frame.height, frame.width)
    grey = np.clip(np.rint((samples - 16 * step) * 255 / (219 * step)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def has_alpha(frame: VideoFrame) -> bool:
    """Whether the frame's format can hold transparency."""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)
