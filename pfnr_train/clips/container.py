"""Opening one file with PyAV, with every failure as a ClipError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_runtime.video.record import MAX_SIDE
from pfnr_train.clips.ffmpeg_log import Heard, av_errors, listening
from pfnr_train.clips.streams import choose_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg reads plain text files as terminal recordings: pictures of the text, not a video.
TEXT_ART = {"ansi", "bintext", "xbin", "idf"}


def check_readable(path: Path) -> None:
    """A ClipError unless `path` is a readable, non-empty regular file."""
    try:
        if not path.exists():
            raise ClipError(f"{path}: no such file or folder; check the path")
        if not path.is_file():
            raise ClipError(f"{path}: not an ordinary file; name a video file or a folder of images")
        with path.open("rb") as file:
            if not file.read(1):
                raise ClipError(f"{path}: the file is empty; copy it again from its source")
    except PermissionError:
        raise ClipError(f"{path}: permission denied; make it readable (chmod +r) or copy it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError(f"{path}: cannot be read ({reason}); check the path") from None


@dataclass(frozen=True)
class OpenVideo:
    """An open container, the stream to read, and the indices of its other video streams."""

    container: InputContainer
    stream: VideoStream
    others: tuple[int, ...]


@contextmanager
def open_video(
    path: Path, options: dict[str, str] | None = None, stream: int | None = None
) -> Iterator[OpenVideo]:
    """The file at `path` and its video; a ClipError if there is none.

    options: FFmpeg's, for the demuxer. stream: index of the stream to read, None for the best one.
    """
    check_readable(path)
    container = _open(path, options)
    try:
        index, others = choose_stream(container, path, stream)
        if others:
            container.close()
            container = _open(path, options)
        found = container.streams[index]
        check_decodable(found, path)
        yield OpenVideo(container, found, others)  # type: ignore[arg-type]
    finally:
        container.close()


def _open(path: Path, options: dict[str, str] | None) -> InputContainer:
    import av

    with listening() as heard:
        try:
            # The prefix keeps a colon in a name from being read as a protocol; the whitelist keeps playlists from
            # opening anything but local files.
            container = av.open(
                f"file:{path}",
                metadata_errors="replace",
                options={"protocol_whitelist": "file", **(options or {})},
            )
        except av_errors():
            check_supported(heard, path)
            raise ClipError(
                f"{path}: not a video that can be opened, or its header is damaged; "
                "check that it plays elsewhere, or give another file"
            ) from None
    try:
        if any(s.codec_context is not None and not s.codec_context.width for s in container.streams.video):
            check_supported(heard, path)
    except ClipError:
        container.close()
        raise
    return container


def check_supported(heard: Heard, path: Path) -> None:
    """A ClipError where FFmpeg reports a missing feature."""
    if lacking := heard.unsupported():
        raise ClipError(
            f"{path}: this kind of file is not supported ({lacking}); supported are videos that FFmpeg decodes, "
            "animated GIF, APNG and AVIF, and folders of PNG, JPEG, WebP or TIFF images with 8 or 16 bits per "
            "channel: convert it to one of them"
        )


def check_decodable(stream: Any, path: Path) -> None:
    """A ClipError for a stream without a decoder, of rendered text, or without a sensible size."""
    context = stream.codec_context
    if context is None:
        raise ClipError(f"{path}: no decoder for its video; convert it to H.264, for example")
    if context.name in TEXT_ART:
        raise ClipError(f"{path}: a text file, not a video; give a video file or a folder of images")
    check_size(context.width, context.height, path)


def check_size(width: int, height: int, path: Path) -> None:
    """A ClipError for a frame with no samples or with more than a record can describe."""
    if not width or not height:
        raise ClipError(f"{path}: its frame size is unknown; the file is damaged, or its beginning is missing")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ClipError(
            f"{path}: its frames are {width}×{height}, outside 1 to {MAX_SIDE} on a side; "
            "the file is damaged or not a video"
        )
