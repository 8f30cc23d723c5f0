"""One image per frame, such as frames/%05d.png, numbered from 0 like the frames of the video."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import UsageError
from pfnr_runtime.sinks.base import Sink, SinkKind
from pfnr_runtime.sinks.losses import lost_colour, lost_times
from pfnr_runtime.sinks.output_file import check_folder, open_file
from pfnr_runtime.sinks.ycbcr import FULL, IDENTITY, to_ycbcr
from pfnr_runtime.system.leftovers import remove_leftovers
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import Colour, VideoRecord

NUMBER = re.compile(r"%0?[1-9]?d")
JPEG_COLOUR = Colour("bt601", "full")  # what JFIF prescribes


@dataclass(frozen=True)
class ImageFormat:
    """How FFmpeg writes one kind of image: codec, pixel format, options; note: quality, to print."""

    codec: str
    pixel_format: str
    note: str
    options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    ".png": ImageFormat("png", "rgb24", "lossless"),
    ".webp": ImageFormat("libwebp", "bgra", "lossless", {"lossless": "1"}),
    ".jpg": ImageFormat("mjpeg", "yuvj444p", "quality 2 of 2 to 31", {"qmin": "2", "qmax": "2"}),
}
FORMATS[".jpeg"] = FORMATS[".jpg"]


def encode_image(data: NDArray[np.uint8], image: ImageFormat, colour: Colour | None = None) -> bytes:
    """uint8 [H, W, 3] RGB as the bytes of one image file.

    colour: a PNG records its transfer and primaries where they are unusual (cICP chunk).
    """
    import av

    if image.codec == "mjpeg":
        picture = to_ycbcr(data, JPEG_COLOUR, image.pixel_format)
    else:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(data), format="rgb24")
        if image.pixel_format != "rgb24":
            picture = picture.reformat(format=image.pixel_format)
    # PyAV's stubs name the base class, which lacks the attributes of a video encoder.
    encoder: Any = av.CodecContext.create(image.codec, "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = image.pixel_format
    encoder.framerate = 25  # meaningless for an image, but FFmpeg requires one
    encoder.thread_count = 1  # threads would only delay the one packet
    encoder.options = dict(image.options)
    if colour is not None and _says_colour(image, colour):
        picture.color_primaries, picture.color_trc, picture.colorspace = colour.tags._replace(matrix=IDENTITY)
        picture.color_range = FULL
    picture.pts = 0
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _says_colour(image: ImageFormat, colour: Colour) -> bool:
    """Whether the encoder writes an unusual transfer or primaries."""
    return bool(colour.unusual) and image.codec == "png"


class ImageSink(Sink):
    """Image files named by a pattern with one %d (frame number), or by a plain name for a single frame.

    Each file is written whole or not at all; images already written survive a failure or an interrupt.
    """

    def __init__(self, uri: str, video: VideoRecord, frames: int) -> None:
        super().__init__(uri, video)
        self._image = FORMATS[Path(uri).suffix.lower()]
        self.description = f"{self._image.codec.removeprefix('lib')} images, {self._image.note}{lost_times(video)}"
        if not _says_colour(self._image, video.colour):
            self.description += lost_colour(video.colour)
        folder, name = Path(uri).parent, Path(uri).name
        places = len(NUMBER.findall(name))
        if places != name.count("%") or places > 1:
            raise UsageError(
                f"{uri}: the file name needs exactly one frame number such as %05d, as in frames/%05d.png"
            )
        if not places and frames != 1:
            suggestion = folder / f"%05d{Path(uri).suffix}"
            raise UsageError(
                f"{uri} holds one frame, and {frames} are to be written; use a name with a number such as "
                f"{suggestion}, or choose one frame"
            )
        check_folder(Path(uri))
        remove_leftovers(Path(uri), numbered=NUMBER)

    def _path(self, index: int) -> Path:
        path = Path(self.uri)
        return path.with_name(path.name % index) if "%" in path.name else path

    def _write_impl(self, frame: Frame) -> None:
        file = open_file(self._path(frame.index), sweep=False)  # all were swept at the start
        try:
            file.write(encode_image(frame.data, self._image, self.video.colour))
            file.commit(durable=False)
        finally:
            file.discard()

    def _close_impl(self) -> None:
        pass

    def _abort_impl(self, error: OSError | None) -> str:
        return f"; {self.frames_written} images were written" if self.frames_written else ""


SINK = SinkKind(
    "images",
    "FOLDER/%05d.png, .jpg or .webp",
    lambda uri: Path(uri).suffix.lower() in FORMATS,
    ImageSink,
)
