"""The codecs of video files: FFmpeg's names for them, the formats they take, and their quality settings.

The default is H.264, which plays everywhere. HEVC and AV1 are smaller at the same quality; FFV1 keeps every sample
of every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pfnr_runtime.errors import SinkError, UsageError
from pfnr_runtime.video.record import VideoRecord

DEFAULT_CODEC = "h264"


@dataclass(frozen=True)
class VideoCodec:
    """One codec and its settings.

    - name: what a user asks for.
    - title: to print.
    - encoder: FFmpeg's.
    - pixel_format, odd_format: FFmpeg's, for even sizes and for an odd width or height.
    - note: quality, to print.
    - options: the encoder's.
    - suffixes: of the files that can hold it.
    - least_side: in samples.
    - tag: of the stream in .mp4, where players do not look for FFmpeg's.
    """

    name: str
    title: str
    encoder: str
    pixel_format: str
    odd_format: str
    note: str
    options: dict[str, str]
    suffixes: tuple[str, ...] = (".mp4", ".mkv")
    least_side: int = 1
    tag: str | None = None
    holds_aspect: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    def format_for(self, width: int, height: int) -> str:
        """FFmpeg's pixel format for frames of this size."""
        return self.pixel_format if width % 2 == 0 and height % 2 == 0 else self.odd_format


# H.264 and HEVC cannot halve the chroma of an odd size and are then written as 4:4:4; AV1 rounds up.
CODECS = {
    codec.name: codec
    for codec in (
        VideoCodec("h264", "H.264", "libx264", "yuv420p", "yuv444p", "crf 18", {"crf": "18", "preset": "medium"}),
        VideoCodec(
            "hevc",
            "HEVC",
            "libx265",
            "yuv420p",
            "yuv444p",
            "crf 20",
            {"crf": "20", "preset": "medium", "x265-params": "log-level=none"},
            least_side=16,
            tag="hvc1",  # Apple's players ignore FFmpeg's hev1
        ),
        VideoCodec(
            "av1",
            "AV1",
            "libsvtav1",
            "yuv420p",
            "yuv420p",
            "crf 24",
            {"crf": "24", "preset": "8"},
            least_side=4,
            holds_aspect=False,
            environment={"SVT_LOG": "0"},  # SVT-AV1 itself writes to stderr, even when stopped
        ),
        VideoCodec(
            "ffv1",
            "FFV1",
            "ffv1",
            "bgr0",
            "bgr0",
            "lossless",
            {"level": "3", "g": "1", "slicecrc": "1"},
            suffixes=(".mkv",),
            holds_aspect=False,
        ),
    )
}


def choose_codec(uri: str, suffix: str, video: VideoRecord, name: str | None = None) -> VideoCodec:
    """The codec called `name`, or the default one, for a file `uri` of this suffix.

    A UsageError for an unknown name or a container that cannot hold the codec, a SinkError for a video the codec
    cannot hold.
    """
    codec = CODECS.get(name or DEFAULT_CODEC)
    if codec is None:
        raise UsageError(f"no codec is called {name!r}; choose one of: {', '.join(CODECS)}")
    if suffix not in codec.suffixes:
        raise UsageError(f"{uri}: {codec.title} goes into {' or '.join(codec.suffixes)} files, not {suffix}")
    if min(video.width, video.height) < codec.least_side:
        raise SinkError(
            f"{uri}: {codec.title} needs at least {codec.least_side}×{codec.least_side} samples, and the video is "
            f"{video.width}×{video.height}; use the codec {DEFAULT_CODEC}"
        )
    if suffix == ".mkv" and not codec.holds_aspect and video.sample_aspect != 1:
        raise SinkError(
            f"{uri}: {codec.title} in .mkv would lose the video's sample aspect {video.sample_aspect}; "
            f"use the codec {DEFAULT_CODEC}"
        )
    return codec
