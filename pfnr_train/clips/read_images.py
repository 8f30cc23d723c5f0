"""A folder of images, or a numbered sequence of them, as the frames of a clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pfnr_runtime.errors import ClipError
from pfnr_train.clips.container import check_size, check_supported
from pfnr_train.clips.exif import exif_turn
from pfnr_train.clips.ffmpeg_log import av_errors, listening
from pfnr_train.clips.picture import Picture, orientation
from pfnr_train.clips.read_video import is_picture, reason_of

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".tga", ".exr", ".dpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".jp2", ".j2k", ".jxl", ".avif", ".qoi", ".sgi", ".pcx"),
)
NUMBERED = re.compile(r"%(0?\d*)d")


class DamagedError(Exception):
    """An image cannot be decoded; the text says why."""


def is_pattern(path: Path) -> bool:
    """Whether `path` names a numbered sequence, such as frames/%05d.png."""
    return len(NUMBERED.findall(path.name)) == 1 and not path.exists()


def list_images(path: Path) -> list[Path]:
    """The images of a folder or a pattern, in natural order (frame2 before frame10).

    Hidden files are skipped. A ClipError names other files in the folder, or says that there are no images.
    """
    folder = path.parent if is_pattern(path) else path
    try:
        entries = [p for p in folder.iterdir() if not p.name.startswith(".")]
        if is_pattern(path):
            return _numbered(path, entries)
        others = sorted(
            (p.name + ("/" if p.is_dir() else "") for p in entries if not _is_image(p)), key=natural_key
        )
    except PermissionError:
        raise ClipError(f"{folder}: permission denied; make the folder readable (chmod +rx)") from None
    except (OSError, ValueError) as error:
        raise ClipError(f"{folder}: {getattr(error, 'strerror', None) or error}; check the path") from None
    images = sorted((p for p in entries if _is_image(p)), key=lambda p: natural_key(p.name))
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    if not images:
        raise ClipError(
            f"{path}: no images in this folder{f' (it holds {shown})' if others else ' (it is empty)'}; "
            "name a video file or a folder of images"
        )
    if others:
        raise ClipError(
            f"{path}: not only images in this folder ({shown}); move the rest elsewhere, or give a pattern "
            f"such as {path / '%05d.png'}"
        )
    return images


def read_images(images: list[Path]) -> Iterator[Picture]:
    """The pictures of `images`; DamagedError for one that cannot be decoded."""
    for image in images:
        yield read_image(image)


def gaps_note(images: list[Path]) -> tuple[str, ...]:
    """A note if the numbers of sorted images have gaps; equally spaced numbers have none."""
    split = [re.fullmatch(r"(.*?)(\d+)(\D*)", p.name) for p in images]
    if len(images) < 3 or None in split or len({(m[1], m[3].lower()) for m in split if m}) > 1:
        return ()
    numbers = [int(m[2]) for m in split if m]
    steps = [b - a for a, b in pairwise(numbers)]
    step = min(steps)
    if step < 1 or max(steps) == step:
        return ()
    gap = next(i for i, each in enumerate(steps) if each > step)
    missing = sum(-(-each // step) - 1 for each in steps)
    return (
        f"{missing} image{'s are' if missing > 1 else ' is'} missing, the first between {images[gap].name} and "
        f"{images[gap + 1].name}: the others are shown in sequence",
    )


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares runs of digits as numbers; equal numbers fall back to their spelling."""
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part
    ]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _numbered(path: Path, entries: list[Path]) -> list[Path]:
    match = NUMBERED.search(path.name)
    assert match is not None
    width = int(match[1] or 0)
    head, tail = path.name[: match.start()], path.name[match.end() :]
    found: dict[int, Path] = {}
    for entry in entries:
        digits = entry.name[len(head) : len(entry.name) - len(tail)]
        if entry.name == head + digits + tail and digits.isdecimal() and digits == f"{int(digits):0{width}d}":
            found[int(digits)] = entry
    if not found:
        raise ClipError(f"{path}: no file matches this pattern; check the folder and the number's width")
    first = min(found)
    for number in range(first, first + len(found)):
        if number not in found:
            name = f"{head}{number:0{width}d}{tail}"
            raise ClipError(f"{path.parent / name}: missing between the first and the last image of the sequence")
    return [found[number] for number in sorted(found)]


def _is_cut_jpeg(path: Path) -> bool:
    """Whether a JPEG file is truncated, which FFmpeg silently fills with grey."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return False
    data = path.read_bytes()
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def read_image(path: Path, by_exif: bool = True) -> Picture:
    """The picture in one image file; DamagedError where it cannot be decoded, or is incomplete.

    by_exif: take the orientation from EXIF data; otherwise from FFmpeg, which does not support mirrored photos.
    """
    import av

    with listening() as heard:
        try:
            with av.open(
                f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"}
            ) as file:
                if not file.streams.video:
                    raise DamagedError(f"{path.name} is not an image")
                stream = file.streams.video[0]
                if not stream.codec_context.width:
                    check_supported(heard, path)
                    raise DamagedError(f"{path.name} is not a complete image")
                check_size(stream.codec_context.width, stream.codec_context.height, path)
                stream.codec_context.thread_count = 1
                for frame in file.decode(stream):
                    if is_picture(frame):
                        if frame.is_corrupt or _is_cut_jpeg(path) or heard.damage():
                            raise DamagedError(f"{path.name} is incomplete")
                        turn = exif_turn(path) if by_exif else None
                        return Picture(frame, turn or orientation(frame))
        except PermissionError:
            raise ClipError(f"{path}: permission denied; make it readable (chmod +r) or copy it") from None
        except av_errors() as error:
            check_supported(heard, path)
            raise DamagedError(f"{path.name}: {reason_of(error)}") from None
    raise DamagedError(f"{path.name} holds no picture")
