"""Folders of images: gaps in their numbers, how they are stored, and kinds that cannot be read."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.clips import write_image
from helpers.synthetic import moving_pattern

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import probe, read_clip


def write_numbered(folder, numbers, name="frame{:03d}.png"):
    folder.mkdir(exist_ok=True)
    made = moving_pattern(len(numbers), 64, 48)
    for number, picture in zip(numbers, made, strict=True):
        write_image(folder / name.format(number), picture)
    return made


def test_a_gap_in_the_numbers_of_a_folder_is_noted(tmp_path):
    made = write_numbered(tmp_path, [0, 1, 2, 5, 6, 8])
    clip = read_clip(tmp_path)
    assert np.array_equal(clip.frames, made)
    assert clip.info.notes[1] == (
        "3 images are missing, the first between frame002.png and frame005.png: the others are shown in sequence"
    )


@pytest.mark.parametrize("numbers", [[0, 1, 2], [7, 8, 9], [0, 5, 10, 15], [3, 13, 23]])
def test_numbers_at_equal_steps_have_no_gap(tmp_path, numbers):
    write_numbered(tmp_path, numbers)
    assert probe(tmp_path).notes == ("images have no frame rate: 25 assumed",)


def test_names_that_are_no_sequence_have_no_gap(tmp_path):
    for name in ("a1.png", "b7.png", "c9.png"):
        write_image(tmp_path / name, moving_pattern(1, 64, 48)[0])
    assert probe(tmp_path).notes == ("images have no frame rate: 25 assumed",)


def test_an_image_that_is_stored_in_passes_has_no_fields(tmp_path):
    picture = moving_pattern(1, 64, 48)[0]
    for i in range(2):
        context = av.CodecContext.create("png", "w")
        context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "rgb24", Fraction(1, 25)
        context.flags |= av.codec.context.Flags.interlaced_dct
        packets = [*context.encode(av.VideoFrame.from_ndarray(picture, "rgb24")), *context.encode(None)]
        (tmp_path / f"{i}.png").write_bytes(b"".join(bytes(p) for p in packets))
        assert (tmp_path / f"{i}.png").read_bytes()[28] == 1  # Adam7
    clip = read_clip(tmp_path)
    assert np.array_equal(clip.frames[0], picture)
    assert clip.info.notes == ("images have no frame rate: 25 assumed",)


def animated_webp():
    """The head of an animation, with one frame that holds nothing."""
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\x3f\0\0\x2f\0\0"
    chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", 16) + bytes(16)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def deep_tiff():
    """A TIFF image of 64 bits per channel."""
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 200)]
    entries += [(277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, 384)]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 16) + struct.pack("<3H", 64, 64, 64) + bytes(2) + table).ljust(600, b"\0")


@pytest.mark.parametrize(("name", "content"), [("a.webp", animated_webp()), ("a.tif", deep_tiff())])
def test_an_image_that_ffmpeg_cannot_read_is_not_called_damaged(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(ClipError, match=r"not supported .* supported are .*convert it") as caught:
            read_clip(path)
        assert "damaged" not in str(caught.value)
