"""From one decoded PyAV frame to a full-range RGB array, the right way up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.container import av_errors

if TYPE_CHECKING:
    from av import VideoFrame

# AVColorSpace codes and the numbers swscale has for their matrices. BT.2020 with constant luminance (10) is
# read with the ordinary matrix, which swscale has.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT709, BT601 = 1, 5
LIMITED_RANGE, FULL_RANGE = 1, 2
TRANSPARENT_NOTE = "transparent parts are shown on black"
TILTED_NOTE = "its display matrix is no quarter turn or mirror: ignored"


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool] | None:
    """(transpose, flip rows, flip columns), applied in this order, that show `frame` upright.

    None for a display matrix that is no quarter turn or mirror.
    """
    try:
        side_data: Any = frame.side_data
        matrix = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)
    except KeyError:
        return False, False, False
    except ValueError:
        # Side data of a kind this PyAV has no name for, such as a photo's EXIF, hides the matrix; the angle
        # is still to be had, mirroring is not.
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        return [(False, False, False), (True, True, False), (False, True, True), (True, False, True)][turns]
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    # Shown at (a·x + c·y, b·x + d·y).
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) * 100 > max(straight, crossed) or not max(straight, crossed):
        return None
    return (True, b < 0, c < 0) if crossed > straight else (False, d < 0, a < 0)


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) of `frame` as shown."""
    turn = orientation(frame)
    return (frame.height, frame.width) if turn and turn[0] else (frame.width, frame.height)


def to_rgb(frame: VideoFrame, path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 [H,W,3] full-range RGB of `frame`, upright, and notes on what was lost.

    The stream's own matrix and range are used; an untagged stream gets PyAV's default, so that its
    samples are exactly those of `to_ndarray(format="rgb24")`. A ClipError for pixel formats FFmpeg cannot
    turn into RGB.
    """
    notes: list[str] = []
    try:
        rgb = frame.to_ndarray(format="rgb24", **_tags(frame))
        if has_alpha(frame):
            alpha = frame.to_ndarray(format="rgba")[..., 3:]
            if alpha.min() < 255:
                rgb = ((rgb.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
                notes.append(TRANSPARENT_NOTE)
    except av_errors():
        raise ClipError(
            f"{path}: its pixels ({frame.format.name}, colour matrix {int(frame.colorspace)}) cannot be "
            "turned into RGB; convert it to ordinary 8-bit 4:2:0 video first"
        ) from None
    turn = orientation(frame)
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
    # Said outright, for PyAV before 17 takes no notice of a frame's own tags, and of these only where the two
    # sides differ. RGB itself has neither matrix nor range, so the destination's name changes nothing.
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


def has_alpha(frame: VideoFrame) -> bool:
    """Whether the frame's format can hold transparency."""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)
