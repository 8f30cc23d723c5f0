"""Opening one file with PyAV, and turning everything it can raise into a ClipError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import ClipError
from pfnr_runtime.video.record import MAX_SIDE

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg reads a plain text file as a terminal recording: pictures of the text, not a video.
TEXT_ART = {"ansi", "bintext", "xbin", "idf"}
ATTACHED_PICTURE = 0x400
# What PyAV raises besides its own errors when a damaged header leads it astray.
AV_ERRORS = (OSError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError, AssertionError)


def av_errors() -> tuple[type[Exception], ...]:
    """Every exception type that reading with PyAV can raise."""
    import av

    return (av.FFmpegError, *AV_ERRORS)


def check_readable(path: Path) -> None:
    """A ClipError unless `path` is an ordinary file that may be opened and has bytes in it."""
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


@contextmanager
def open_video(path: Path, options: dict[str, str] | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container at `path` and the video stream to read; a ClipError where there is none."""
    import av

    check_readable(path)
    try:
        # The prefix keeps a colon in a name from being read as a protocol; the whitelist keeps a playlist
        # from opening anything that is not a local file.
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", **(options or {})},
        )
    except av_errors():
        raise ClipError(
            f"{path}: not a video that can be opened, or its header is damaged; "
            "check that it plays elsewhere, or give another file"
        ) from None
    try:
        yield container, choose_stream(container, path)
    finally:
        container.close()


def choose_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream of moving pictures; cover art does not count."""
    streams = [s for s in container.streams.video if not disposition(s) & ATTACHED_PICTURE]
    if not streams:
        kinds = sorted({"text" if s.type == "subtitle" else s.type for s in container.streams})
        what = f"it holds only {' and '.join(kinds)}" if kinds else "it holds nothing"
        if container.streams.video:
            what = "it holds only audio and a cover picture"
        raise ClipError(f"{path}: no video in this file ({what}); give a video file or a folder of images")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise ClipError(f"{path}: no decoder for its video; convert it to H.264, for example")
    if context.name in TEXT_ART:
        raise ClipError(f"{path}: a text file, not a video; give a video file or a folder of images")
    check_size(context.width, context.height, path)
    return stream


def disposition(stream: Any) -> int:
    """FFmpeg's disposition bits of a stream; PyAV has given them as several kinds of flag, once as none."""
    flags = getattr(stream, "disposition", 0)
    return int(getattr(flags, "value", flags))


def check_size(width: int, height: int, path: Path) -> None:
    """A ClipError for a frame with no samples or with more than a record can describe."""
    if not width or not height:
        raise ClipError(
            f"{path}: its frame size cannot be found; the file is damaged, or its beginning is missing"
        )
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ClipError(
            f"{path}: its frames are {width}×{height}, outside 1 to {MAX_SIDE} on a side; "
            "the file is damaged or not a video"
        )
