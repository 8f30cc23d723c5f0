"""The samples of a clip: unbiased, the same on every processor, and of the range and transparency it has."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.clips import write_image, write_video
from helpers.synthetic import moving_pattern

from pfnr_train.clips import read_clip

# Reads a clip with FFmpeg told that the processor has no vector instructions.
WITHOUT_SIMD = """
import ctypes, sys
import av
from pfnr_train.clips import read_clip
library = next(line.split()[-1] for line in open("/proc/self/maps") if "libavutil" in line)
ctypes.CDLL(library).av_force_cpu_flags(0)
print(*(read_clip(p).sha256 + read_clip(p, size=(40, 22)).sha256 for p in sys.argv[1:]), sep="\\n")
"""


def write_raw(path, pix_fmt, planes, color_range=1, codec="ffv1"):
    """Two lossless frames of these planes."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width = planes[0].shape
        stream.pix_fmt = pix_fmt
        stream.codec_context.color_range = color_range
        for _ in range(2):
            frame = av.VideoFrame(stream.width, stream.height, pix_fmt)
            for plane, samples in zip(frame.planes, planes, strict=True):
                room = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
                room[:, : samples.shape[1]] = samples
                plane.update(room.tobytes())
            frame.color_range = color_range
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv420p", 8), ("yuv420p10le", 10), ("yuv422p10le", 10)])
def test_a_neutral_ramp_is_neither_darkened_nor_lightened(tmp_path, pix_fmt, bits):
    step = 1 << (bits - 8)
    kind = np.uint16 if bits > 8 else np.uint8
    levels = np.arange(16 * step, 235 * step + 1, dtype=kind)
    levels = np.resize(levels, -(-len(levels) // 2) * 2)
    luma = np.tile(levels, (8, 1))
    chroma = np.full((8 if "422" in pix_fmt else 4, len(levels) // 2), 128 * step, kind)
    frames = read_clip(write_raw(tmp_path / "a.mkv", pix_fmt, (luma, chroma, chroma))).frames
    wrong = frames[0, 0].astype(float) - ((levels.astype(float) - 16 * step) * 255 / (219 * step))[:, None]
    assert np.abs(wrong).max() <= 0.51
    assert abs(wrong.mean()) < 0.02
    assert (frames.min(), frames.max()) == (0, 255)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="this system does not say where libraries lie")
def test_the_samples_do_not_depend_on_the_processor(tmp_path):
    pictures = moving_pattern(3, 63, 47)
    even = moving_pattern(3, 64, 48)
    paths = [
        write_video(tmp_path / "a.mp4", even),
        write_video(tmp_path / "b.mkv", pictures, "ffv1", "yuv420p10le"),
        write_video(tmp_path / "c.mkv", pictures, "ffv1", "yuv444p"),
        write_video(tmp_path / "d.avi", even, "mjpeg", "yuvj420p"),
        write_video(tmp_path / "e.mkv", pictures, "ffv1", "bgr0"),
        write_video(tmp_path / "f.mkv", pictures, "ffv1", "yuva420p"),
    ]
    here = [read_clip(p).sha256 + read_clip(p, size=(40, 22)).sha256 for p in paths]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SIMD, *map(str, paths)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == here


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray10le", 10), ("gray12le", 12)])
@pytest.mark.parametrize("full", [False, True])
def test_grey_is_of_the_range_that_its_tag_says(tmp_path, pix_fmt, bits, full):
    step = 1 << (bits - 8)
    levels = np.arange(0, 256 * step, step, dtype=np.uint16 if bits > 8 else np.uint8)
    path = write_raw(tmp_path / "a.mkv", pix_fmt, (np.tile(levels, (4, 1)),), 2 if full else 1)
    row = read_clip(path).frames[0, 0].astype(float)
    expected = np.arange(256) if full else np.clip((np.arange(256) - 16) * 255 / 219, 0, 255)
    assert np.abs(row - expected[:, None]).max() <= (1 if full and bits > 8 else 0.51)


def test_untagged_grey_is_full_range(tmp_path):
    grey = np.ascontiguousarray(moving_pattern(2, 64, 48)[..., 0])
    for i, picture in enumerate(grey):
        write_image(tmp_path / f"{i}.png", picture, "gray")
    assert np.array_equal(read_clip(tmp_path).frames, np.repeat(grey[..., None], 3, axis=3))


def test_what_a_webm_makes_transparent_is_black(tmp_path):
    rgba = np.dstack([moving_pattern(1, 64, 48)[0], np.full((48, 64), 255, np.uint8)])
    rgba[:, :32, 3] = 0
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx", rate=25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    clip = read_clip(path)
    assert not clip.frames[:, :, :30].any()
    assert clip.frames[:, :, 34:].any()
    assert "transparent parts are shown on black" in clip.info.notes
