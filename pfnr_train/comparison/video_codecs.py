"""Ordinary video codecs on the same frames, as the practical alternative.

Frames go through PyAV's x264 and x265 as one stream; the bytes of its packets are counted, without a container.
RGB is converted to YCbCr (BT.709, full range, accurate rounding, bit-exact) and back, in 4:2:0 as video is
usually stored and in 4:4:4, since halved chroma alone costs RGB PSNR up to 3 dB.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from pfnr_train.comparison.rate import RatePoint, rate_point


@dataclass(frozen=True)
class EncoderSetting:
    """One encoder configuration. encoder: `libx264` or `libx265`. preset: the encoder's. chroma: `420` or
    `444`.
    """

    encoder: str
    preset: str
    chroma: str

    @property
    def name(self) -> str:
        """Such as `x264 medium 4:4:4`."""
        return f"{self.encoder.removeprefix('lib')} {self.preset} {':'.join(self.chroma)}"


CODECS = tuple(
    EncoderSetting(encoder, preset, chroma)
    for encoder in ("libx264", "libx265")
    for preset in ("medium", "veryslow")
    for chroma in ("420", "444")
)
CRFS = (18, 23, 28, 33, 38, 43)


def code(
    codec: EncoderSetting, frames: NDArray[np.uint8], fps: Fraction, crf: int, threads: int = 1
) -> tuple[int, NDArray[np.uint8]]:
    """Encode frames uint8 [N, H, W, 3] and decode them again: the stream's bytes, and the frames."""
    count, height, width, _ = frames.shape
    options = {"crf": str(crf), "preset": codec.preset}
    if codec.encoder == "libx265":
        options["x265-params"] = f"log-level=none:pools={threads}:range=full:colormatrix=bt709"
    pixels = f"yuv{codec.chroma}p"
    encoder: Any = av.CodecContext.create(codec.encoder, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.framerate, encoder.time_base = fps, 1 / fps
    encoder.thread_count = threads
    encoder.color_range, encoder.colorspace = ColorRange.JPEG, Colorspace.ITU709
    encoder.options = options
    reformatter = VideoReformatter()
    packets: list[bytes] = []
    for index, frame in enumerate(frames):
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = _converted(reformatter, rgb, pixels)
        picture.pts, picture.time_base = index, 1 / fps
        packets += [bytes(packet) for packet in encoder.encode(picture)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    size = sum(map(len, packets))
    decoder: Any = av.CodecContext.create("h264" if codec.encoder == "libx264" else "hevc", "r")
    decoder.thread_count = threads
    decoded = []
    for packet in [*decoder.parse(b"".join(packets)), *decoder.parse(None), None]:
        for picture in decoder.decode(packet):
            decoded.append(_converted(reformatter, picture, "rgb24").to_ndarray())
    if len(decoded) != count:
        raise RuntimeError(f"{codec.name} gave {len(decoded)} of {count} frames back")
    return size, np.stack(decoded)


def _converted(reformatter: VideoReformatter, frame: Any, pixels: str) -> Any:
    """Between RGB and full-range BT.709 YCbCr, the same way there and back."""
    rgb = pixels == "rgb24"
    made = reformatter.reformat(
        frame,
        format=pixels,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC | _ACCURATE,
    )
    if not rgb:
        made.color_range, made.colorspace = ColorRange.JPEG, Colorspace.ITU709
    return made


# swscale's flags: full chroma interpolation both ways, accurate rounding, the same on every processor.
_ACCURATE = 0x2000 | 0x4000 | 0x40000 | 0x80000


def codec_curve(
    codec: EncoderSetting,
    frames: NDArray[np.uint8],
    fps: Fraction,
    crfs: Sequence[int] = CRFS,
    threads: int = 1,
    similarity: bool = True,
) -> list[RatePoint]:
    """A codec's points for one clip, one for each constant rate factor. similarity: with MS-SSIM."""
    points = []
    for crf in crfs:
        started = time.perf_counter()
        size, decoded = code(codec, frames, fps, crf, threads)
        seconds = time.perf_counter() - started
        points.append(rate_point(f"crf {crf}", size, decoded, frames, seconds, similarity))
    return points
