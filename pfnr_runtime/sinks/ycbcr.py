"""RGB frames to the source clip's YCbCr: the matrix and range of its record, converted by swscale.

4:2:0 chroma comes out sited as in MPEG-2 and H.264 (left, between the rows), swscale's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import SinkError
from pfnr_runtime.video.colour_tags import Tags
from pfnr_runtime.video.record import Colour

if TYPE_CHECKING:
    import av
# ITU-T H.273 numbers, as every container and FFmpeg use them.
LIMITED, FULL = 1, 2  # FFmpeg's AVColorRange
IDENTITY = 0  # the matrix number of RGB samples
RGB_FORMATS = ("bgr0",)
# swscale's name for a matrix, as PyAV takes it.
# Its flags for bicubic chroma that rounds accurately and alike on every processor; the same in every FFmpeg.
EXACT_BICUBIC = 0x4 | 0x40000 | 0x80000
SWSCALE_MATRIX = {"bt709": 1, "bt601": 5, "bt2020": 9}


def stream_tags(colour: Colour, pixel_format: str) -> tuple[Tags, int]:
    """How a file of `pixel_format` records its colours: the tags and FFmpeg's number for the range."""
    tags = colour.tags
    if pixel_format in RGB_FORMATS:
        return tags._replace(matrix=IDENTITY), FULL
    return tags, range_number(colour)


def to_picture(data: NDArray[np.uint8], colour: Colour, pixel_format: str) -> av.VideoFrame:
    """Full-range RGB, uint8 [H, W, 3] → a frame of `pixel_format`, for an encoder: its samples, or YCbCr."""
    import av

    if pixel_format not in RGB_FORMATS:
        return to_ycbcr(data, colour, pixel_format)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(data), format="rgb24").reformat(format=pixel_format)


def range_number(colour: Colour) -> int:
    """FFmpeg's number for the record's range."""
    return FULL if colour.range == "full" else LIMITED


def to_ycbcr(data: NDArray[np.uint8], colour: Colour, pixel_format: str) -> av.VideoFrame:
    """Full-range RGB, uint8 [H, W, 3] → a frame of `pixel_format` (yuv420p, yuv444p) in `colour`."""
    import av
    from av.video.reformatter import Colorspace

    if colour.matrix == "bt2020" and "BT2020" not in Colorspace.__members__:
        # An older PyAV would silently convert with another matrix.
        raise SinkError(
            "this PyAV cannot convert to BT.2020; install PyAV 18 (on Python 3.11 or newer): pip install -U av"
        )

    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(data), format="rgb24")
    frame = rgb.reformat(
        format=pixel_format,
        interpolation=EXACT_BICUBIC,
        src_color_range=FULL,
        dst_colorspace=SWSCALE_MATRIX[colour.matrix],
        dst_color_range=range_number(colour),
    )
    frame.color_range = range_number(colour)
    frame.colorspace = colour.tags.matrix
    return frame


def planes(frame: av.VideoFrame) -> list[NDArray[np.uint8]]:
    """The planes of a planar 8-bit frame, each uint8 [h, w], without the padding that FFmpeg adds to rows."""
    return [
        np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]
