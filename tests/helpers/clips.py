"""Writes small clips of every kind that the reader meets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from helpers.synthetic import moving_pattern
from pfnr_runtime.system.scheduling import keep_scheduling

Frames = NDArray[np.uint8]


def write_video(
    path: Path,
    frames: Frames | int = 12,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    container: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pts: list[int] | None = None,
    **attributes: Any,
) -> Path:
    """Encodes RGB frames (or that many of a moving 64×48 pattern); `attributes` are set on the codec.

    pts, where given, are the frames' times in thousandths of a second.
    """
    pictures = moving_pattern(frames, 64, 48) if isinstance(frames, int) else frames
    with keep_scheduling(), av.open(str(path), "w", format=container, options=container_options or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pix_fmt
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[i], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_lossless(path: Path, frames: Frames | int = 12, **more: Any) -> Path:
    """A Matroska file whose frames come back exactly."""
    return write_video(path, frames, "ffv1", "bgr0", **more)


def write_planes(path: Path, ycbcr: tuple[int, int, int], colorspace: int, color_range: int) -> Path:
    """Two lossless frames of one YCbCr colour, tagged with a matrix and a range."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        for _ in range(2):
            frame = av.VideoFrame(64, 48, "yuv444p")
            for plane, value in zip(frame.planes, ycbcr, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.colorspace, frame.color_range = colorspace, color_range
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_image(path: Path, picture: NDArray[Any], array_format: str = "rgb24", codec: str = "png") -> Path:
    """One image file, in the pixel format that `array_format` names."""
    frame = av.VideoFrame.from_ndarray(picture, array_format)
    if codec == "mjpeg":
        frame = frame.reformat(format="yuvj444p")
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base = Fraction(1, 25)
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(p) for p in packets))
    return path


def exactly(frame: av.VideoFrame) -> Frames:
    """A frame as RGB by swscale with accurate rounding, full chroma and the same bits on every processor."""
    bilinear, full_chroma_out, full_chroma_in, accurate, bit_exact = 0x2, 0x2000, 0x4000, 0x40000, 0x80000
    exact = full_chroma_out | full_chroma_in | accurate | bit_exact
    return frame.to_ndarray(format="rgb24", interpolation=bilinear | exact)


def write_audio(path: Path) -> Path:
    """Half a second of silence."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("flac" if path.suffix == ".flac" else "aac", rate=48000)
        stream.layout = "mono"
        for i in range(12):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 48000, i * 2048
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def turn_mp4(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Puts a display matrix (a, b, c, d in units of one) into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for position, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + position : at + position + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
