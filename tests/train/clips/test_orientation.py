"""Photos are shown the way up that their EXIF data says."""

from __future__ import annotations

import av
import numpy as np
import pytest
from helpers.clip_surgery import ORIENTED, orient
from helpers.clips import write_image
from helpers.synthetic import moving_pattern

from pfnr_train.clips import read_clip
from pfnr_train.clips.exif import exif_turn

CODECS = {".jpg": "mjpeg", ".png": "png", ".webp": "libwebp", ".tif": "tiff"}
# What each orientation asks of a stored picture [H, W, 3].
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("suffix", ORIENTED)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_image_is_turned_as_its_exif_data_says(tmp_path, suffix, orientation):
    if suffix == ".webp" and "libwebp" not in av.codecs_available:
        pytest.skip("this PyAV writes no WebP")
    plain, turned = tmp_path / "plain", tmp_path / "turned"
    for folder in (plain, turned):
        folder.mkdir()
        for i, picture in enumerate(moving_pattern(2, 64, 48)):
            path = folder / f"{i}{suffix}"
            if suffix == ".webp":
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
                write_image(path, frame.to_ndarray(), "yuv420p", CODECS[suffix])
            else:
                write_image(path, picture, codec=CODECS[suffix])
            if folder == turned:
                orient(path, orientation)
    expected = np.stack([UPRIGHT[orientation](p) for p in read_clip(plain).frames])
    clip = read_clip(turned)
    assert np.array_equal(clip.frames, expected)
    assert (clip.info.width, clip.info.height) == (expected.shape[2], expected.shape[1])
    assert any("upright" in note for note in clip.info.notes) == (orientation != 1)


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM\0*", b"RIFF\0\0\0\0WEBPEXIF"]
)
def test_a_file_that_says_nothing_or_breaks_off_is_not_turned(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert exif_turn(tmp_path / "a") is None
    assert exif_turn(tmp_path / "missing") is None
