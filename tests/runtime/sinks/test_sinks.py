"""Sinks: what is written can be read back, and is what was meant."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from helpers.tiny_artifacts import picture_table, video
from numpy.typing import NDArray

from pfnr_runtime.errors import SinkError, UsageError
from pfnr_runtime.sinks import open_sink, sink_kinds
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.metrics import psnr
from pfnr_runtime.video.record import Colour, VideoRecord

# PyAV before 18, the newest for Python 3.10, has no BT.2020; that is an error, tested below.
MATRICES = ("bt709", "bt601", "bt2020") if "BT2020" in Colorspace.__members__ else ("bt709", "bt601")
COLOURS = [Colour(m, r) for m in MATRICES for r in ("limited", "full")]
# Kr and Kb of each matrix (ITU-T H.273, table 4).
WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}


def write(uri: str | Path, record: VideoRecord, pictures: NDArray[np.uint8], first: int = 0) -> dict[str, str]:
    with open_sink(str(uri), record, len(pictures)) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, first + i, float(record.pts(i)), float(1 / record.fps)))
    return sink.result()


def patches() -> NDArray[np.uint8]:
    """Saturated colours in flat squares of 16, uint8 [1, 32, 64, 3]: where a wrong matrix shows most."""
    colours = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30)]
    colours += [(30, 220, 220), (220, 30, 220), (240, 240, 240), (20, 20, 20)]
    grid = np.array(colours, np.uint8).reshape(2, 4, 3)
    return grid.repeat(16, axis=0).repeat(16, axis=1)[None]


def to_rgb(frame: Any) -> NDArray[np.uint8]:
    """A decoded BT.709 frame as RGB, by its own tags whatever PyAV assumes without being told."""
    return frame.reformat(format="rgb24", src_colorspace=1, dst_color_range=2).to_ndarray()


def luma(rgb: NDArray[Any], colour: Colour) -> NDArray[np.float64]:
    """Y of the standard's formula, in 8-bit steps."""
    kr, kb = WEIGHTS[colour.matrix]
    y = (rgb.astype(float) / 255) @ np.array([kr, 1 - kr - kb, kb])
    return y * 255 if colour.range == "full" else 16 + 219 * y


def read_video(path: Path) -> tuple[Any, list[Any]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return (stream.average_rate, stream.sample_aspect_ratio, stream.codec_context), frames


@pytest.mark.parametrize("colour", COLOURS, ids=str)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_file_says_and_uses_the_colours_of_the_record(colour: Colour, suffix: str, tmp_path: Path) -> None:
    record = video(width=64, height=32, frames=4, colour=colour)
    pictures = patches().repeat(4, axis=0)
    write(tmp_path / f"out.{suffix}", record, pictures)
    (_, _, codec), frames = read_video(tmp_path / f"out.{suffix}")
    tags = {"bt709": (1, 1, 1), "bt601": (6, 6, 6), "bt2020": (9, 14, 9)}[colour.matrix]
    frame = frames[0]
    assert (codec.color_primaries, codec.color_trc, codec.colorspace) == tags
    assert codec.color_range == (2 if colour.range == "full" else 1)
    middle = np.s_[8::16, 8::16]
    y = frame.to_ndarray()[:32, :64].astype(float)
    assert np.abs(y[middle] - luma(pictures[0], colour)[middle]).max() <= 2
    # A player that believes the tags gets the colours back.
    back = frame.reformat(format="rgb24", src_colorspace={6: 5}.get(tags[2], tags[2])).to_ndarray()
    assert np.abs(back[middle].astype(int) - pictures[0][middle]).max() <= 8


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_a_matrix_that_pyav_lacks_is_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.video.reformatter.Colorspace", IntEnum("Colorspace", {"ITU709": 1}))
    record = video(colour=Colour("bt2020"))
    with pytest.raises(SinkError, match=r"pip install -U av"):
        write(tmp_path / name, record, picture_table(record))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_file_keeps_rate_aspect_order_and_picture(suffix: str, tmp_path: Path) -> None:
    record = video(fps=Fraction(30000, 1001), sample_aspect=Fraction(4, 3))
    pictures = picture_table(record)
    write(tmp_path / f"out.{suffix}", record, pictures)
    (rate, aspect, codec), frames = read_video(tmp_path / f"out.{suffix}")
    assert aspect == Fraction(4, 3)
    assert (codec.name, codec.width, codec.height, codec.pix_fmt) == ("h264", 64, 36, "yuv420p")
    assert len(frames) == len(pictures)
    if suffix == "mp4":  # Matroska rounds times to milliseconds
        assert rate == Fraction(30000, 1001)
        assert [Fraction(f.pts) * f.time_base for f in frames] == [record.pts(i) for i in range(len(frames))]
    for i, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
        back = to_rgb(frame)
        assert psnr(back, picture) > 33
        assert i == max(range(len(pictures)), key=lambda j: psnr(back, pictures[j]))


@pytest.mark.parametrize("size", [(63, 36), (64, 35), (63, 35), (1, 1)])
def test_an_odd_size_is_written_as_it_is_and_said(size: tuple[int, int], tmp_path: Path) -> None:
    record = video(width=size[0], height=size[1])
    with open_sink(str(tmp_path / "probe.mp4"), record, 12) as sink:
        assert "yuv444p (the size is odd" in sink.description
        sink.write(Frame(picture_table(record)[0], 0, 0.0, 0.04))
    write(tmp_path / "out.mp4", record, picture_table(record))
    (_, _, codec), frames = read_video(tmp_path / "out.mp4")
    assert (codec.width, codec.height, codec.pix_fmt, len(frames)) == (*size, "yuv444p", 12)
    assert psnr(to_rgb(frames[5]), picture_table(record)[5]) > 33


@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_y4m_has_the_header_and_samples_of_the_record(colour: Colour, tmp_path: Path) -> None:
    record = video(width=64, height=32, frames=2, colour=colour, sample_aspect=Fraction(4, 3))
    write(tmp_path / "out.y4m", record, patches().repeat(2, axis=0))
    data = (tmp_path / "out.y4m").read_bytes()
    header, rest = data.split(b"\n", 1)
    name = b"FULL" if colour.range == "full" else b"LIMITED"
    assert header.split() == [
        *(b"YUV4MPEG2", b"W64", b"H32", b"F25:1", b"Ip", b"A4:3", b"C420mpeg2"),
        *(b"XYSCSS=420MPEG2", b"XCOLORRANGE=" + name),
    ]
    assert len(rest) == 2 * (6 + 64 * 32 * 3 // 2)
    y = np.frombuffer(rest[6 : 6 + 64 * 32], np.uint8).reshape(32, 64)
    assert np.abs(y - luma(patches()[0], colour)).max() <= 1
    _, frames = read_video(tmp_path / "out.y4m")
    assert len(frames) == 2
    assert frames[0].color_range == (2 if colour.range == "full" else 1)


@pytest.mark.parametrize("size", [(63, 35), (1, 1), (2, 3)])
def test_y4m_rounds_the_chroma_of_odd_sizes_up(size: tuple[int, int], tmp_path: Path) -> None:
    record = video(width=size[0], height=size[1], frames=3)
    write(tmp_path / "out.y4m", record, picture_table(record))
    _, frames = read_video(tmp_path / "out.y4m")
    assert [(f.width, f.height) for f in frames] == [size] * 3
    w, h = size
    each = 6 + w * h + 2 * ((w + 1) // 2) * ((h + 1) // 2)
    assert len((tmp_path / "out.y4m").read_bytes().split(b"\n", 1)[1]) == 3 * each


def test_y4m_chroma_is_sited_as_its_header_says(tmp_path: Path) -> None:
    """A horizontal blue ramp: chroma sample i is the ramp at column 2i (left), not at 2i + 1/2."""
    record = video(width=64, height=32, frames=1, colour=Colour("bt709", "full"))
    picture = np.full((32, 64, 3), 100, np.uint8)
    picture[..., 2] = np.arange(64) * 3 + 20
    write(tmp_path / "out.y4m", record, picture[None])
    rest = (tmp_path / "out.y4m").read_bytes().split(b"\n", 1)[1][6:]
    cb = np.frombuffer(rest[64 * 32 :][: 32 * 16], np.uint8).reshape(16, 32)[8].astype(float)
    column = np.arange(64)
    blue_difference = (picture[8].astype(float) @ np.array([-0.2126, -0.7152, 1 - 0.0722])) / (2 * (1 - 0.0722))
    inner = np.arange(4, 28)
    left = np.interp(2 * inner, column, 128 + blue_difference)
    centre = np.interp(2 * inner + 0.5, column, 128 + blue_difference)
    assert np.abs(cb[inner] - left).mean() < np.abs(cb[inner] - centre).mean()
    assert np.abs(cb[inner] - left).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("size", [(64, 36), (63, 35), (1, 1)])
def test_lossless_images_read_back_to_the_byte(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    record = video(width=size[0], height=size[1], frames=3)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, size[1], size[0], 3), dtype=np.uint8)
    write(tmp_path / f"%03d.{suffix}", record, pictures, first=7)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{i:03d}.{suffix}" for i in (7, 8, 9)]
    for i in range(3):
        with av.open(str(tmp_path / f"{i + 7:03d}.{suffix}")) as image:
            back = next(image.decode(video=0)).to_ndarray(format="rgb24")
        assert (back == pictures[i]).all()


def test_jpeg_images_look_right(tmp_path: Path) -> None:
    record = video(width=64, height=32, frames=1)
    write(tmp_path / "one.jpg", record, patches())
    with av.open(str(tmp_path / "one.jpg")) as image:
        back = next(image.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(back[8::16, 8::16].astype(int) - patches()[0][8::16, 8::16]).max() <= 4


def test_md5_is_that_of_all_samples() -> None:
    pictures = picture_table()
    assert write("md5:", video(), pictures)["md5"] == hashlib.md5(pictures.tobytes()).hexdigest()


def test_null_takes_everything() -> None:
    assert write("null:", video(), picture_table()) == {}


@pytest.mark.parametrize("uri", ["out.avi", "out", "md5:x", "null", "frames/", "display://0"])
def test_an_unknown_output_lists_the_known_ones(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(uri, video(), 1)
    assert all(kind.selects in str(caught.value) for kind in sink_kinds())


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m", "%05d.png"])
def test_a_missing_folder_is_an_error_that_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"missing does not exist; make it first: mkdir -p"):
        open_sink(str(tmp_path / "missing" / name), video(), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m", "one.png"])
def test_a_folder_in_the_way_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        open_sink(str(tmp_path / name), video(), 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one.png", "holds one frame, and 12 are to be written"),
        ("%d-%d.png", "exactly one frame number"),
        ("%s.png", "exactly one frame number"),
        ("100%.png", "exactly one frame number"),
    ],
)
def test_an_image_name_needs_one_number(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_sink(str(tmp_path / name), video(), 12)


def test_a_frame_of_another_size_is_refused() -> None:
    with open_sink("null:", video(), 1) as sink, pytest.raises(ValueError, match="frame of"):
        sink.write(Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0, 0.04))
