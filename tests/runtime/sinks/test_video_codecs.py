"""Every codec of a video file: its pictures, colours, rate and size come back as they were given."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.commands import Run
from helpers.tiny_artifacts import picture_table, video

from pfnr_runtime.errors import SinkError, UsageError
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.sinks.video_codecs import CODECS, DEFAULT_CODEC
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.metrics import psnr
from pfnr_runtime.video.record import Colour, VideoRecord
from runtime.sinks.test_sinks import COLOURS, luma, patches

FILES = [(name, suffix) for name, codec in CODECS.items() for suffix in codec.suffixes]
TAGS = {"bt709": (1, 1, 1), "bt601": (6, 6, 6), "bt2020": (9, 14, 9)}


def write(path: Path, record: VideoRecord, pictures: Any, codec: str | None) -> None:
    with open_sink(str(path), record, len(pictures), codec=codec) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, i, float(record.pts(i)), float(1 / record.fps)))


def read(path: Path) -> tuple[Any, list[Any]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return stream.codec_context, frames


@pytest.mark.parametrize("colour", COLOURS, ids=str)
@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_colours_are_said_and_meant(codec: str, suffix: str, colour: Colour, tmp_path: Path) -> None:
    record = video(width=64, height=32, frames=3, colour=colour)
    pictures = patches().repeat(3, axis=0)
    path = tmp_path / f"out{suffix}"
    write(path, record, pictures, codec)
    context, frames = read(path)
    primaries, curve, matrix = TAGS[colour.matrix]
    rgb = codec == "ffv1"
    tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
    assert tags == (primaries, curve, 0 if rgb else matrix, 2 if rgb or colour.range == "full" else 1)
    middle = np.s_[8::16, 8::16]
    if rgb:
        back = frames[0].to_ndarray(format="rgb24")
    else:
        y = frames[0].to_ndarray()[:32, :64].astype(float)
        assert np.abs(y[middle] - luma(pictures[0], colour)[middle]).max() <= 3
        # A player that believes the tags gets the colours back.
        back = frames[0].reformat(format="rgb24", src_colorspace={6: 5}.get(matrix, matrix)).to_ndarray()
    assert np.abs(back[middle].astype(int) - pictures[0][middle]).max() <= (0 if rgb else 12)


@pytest.mark.parametrize(("codec", "suffix"), FILES)
@pytest.mark.parametrize("size", [(64, 36), (63, 35)])
def test_size_rate_aspect_order_and_pictures_are_kept(
    codec: str, suffix: str, size: tuple[int, int], tmp_path: Path
) -> None:
    aspect = Fraction(4, 3) if CODECS[codec].holds_aspect or suffix == ".mp4" else Fraction(1)
    record = video(width=size[0], height=size[1], fps=Fraction(30000, 1001), sample_aspect=aspect)
    pictures = picture_table(record)
    path = tmp_path / f"out{suffix}"
    write(path, record, pictures, codec)
    context, frames = read(path)
    assert (context.width, context.height, len(frames)) == (*size, len(pictures))
    with av.open(str(path)) as container:
        assert (container.streams.video[0].sample_aspect_ratio or 1) == aspect
        if suffix == ".mp4":  # Matroska rounds times to milliseconds
            assert container.streams.video[0].average_rate == record.fps
    for i, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
        back = frame.reformat(format="rgb24", src_colorspace=1, dst_color_range=2).to_ndarray()
        assert psnr(back, picture) > 31
        assert i == max(range(len(pictures)), key=lambda j: psnr(back, pictures[j]))


@pytest.mark.parametrize("size", [(64, 36), (63, 35), (1, 1)])
def test_ffv1_keeps_every_sample(size: tuple[int, int], tmp_path: Path) -> None:
    record = video(width=size[0], height=size[1])
    pictures = np.random.default_rng(0).integers(0, 256, (12, size[1], size[0], 3), dtype=np.uint8)
    write(tmp_path / "out.mkv", record, pictures, "ffv1")
    _, frames = read(tmp_path / "out.mkv")
    assert (np.stack([frame.to_ndarray(format="rgb24") for frame in frames]) == pictures).all()


@pytest.mark.parametrize("codec", ["av1", "ffv1"])
def test_an_aspect_that_would_be_lost_is_an_error(codec: str, tmp_path: Path) -> None:
    record = video(sample_aspect=Fraction(4, 3))
    with pytest.raises(SinkError, match=r"would lose the video's sample aspect 4/3; use the codec h264"):
        write(tmp_path / "out.mkv", record, picture_table(record), codec)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs the /proc of Linux")
@pytest.mark.parametrize("codec", CODECS)
def test_an_encoder_leaves_the_scheduling_of_the_process_alone(codec: str, tmp_path: Path) -> None:
    """SVT-AV1 opened by root would leave it in real time, where nothing else on the machine gets a processor."""

    def threads() -> set[tuple[int, int]]:
        numbers = [int(name) for name in os.listdir("/proc/self/task")]
        return {(os.sched_getscheduler(n), os.sched_getparam(n).sched_priority) for n in numbers}

    record, pictures = video(), picture_table()
    before = threads()
    with open_sink(str(tmp_path / "out.mkv"), record, len(pictures), codec=codec) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, i, float(record.pts(i)), float(1 / record.fps)))
            assert threads() == before
    assert threads() == before


def test_hevc_in_mp4_has_the_tag_that_players_look_for(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", video(), picture_table(), "hevc")
    assert read(tmp_path / "out.mp4")[0].codec_tag == "hvc1"


def test_the_default_is_h264(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", video(), picture_table(), None)
    assert read(tmp_path / "out.mp4")[0].name == DEFAULT_CODEC == "h264"


@pytest.mark.parametrize("codec", [name for name, codec in CODECS.items() if codec.least_side > 1])
def test_the_smallest_size_a_codec_takes_is_the_one_it_states(codec: str, tmp_path: Path) -> None:
    side = CODECS[codec].least_side
    record = video(width=side, height=side)
    write(tmp_path / "out.mkv", record, picture_table(record), codec)
    assert len(read(tmp_path / "out.mkv")[1]) == 12
    record = video(width=side, height=side - 1)
    with pytest.raises(
        SinkError, match=f"needs at least {side}×{side} samples, and the video is {side}×{side - 1}"
    ):
        write(tmp_path / "less.mkv", record, picture_table(record), codec)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("out.mp4", "ffv1", "FFV1 goes into .mkv files, not .mp4"),
        ("out.mp4", "mpeg2", "choose one of: h264, hevc, av1, ffv1"),
        ("out.y4m", "av1", r"takes no --codec; it is for \*.mp4, \*.mkv"),
        ("md5:", "h264", "takes no --codec"),
    ],
)
def test_a_codec_that_does_not_fit_is_a_usage_error(name: str, codec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_sink(name if ":" in name else str(tmp_path / name), video(), 12, codec=codec)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", list(CODECS))
def test_encoders_say_nothing_of_their_own(codec: str, table_file: Path, tmp_path: Path, run: Run) -> None:
    done = run("decode", table_file, tmp_path / "out.mkv", "--codec", codec, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_a_film_that_is_dropped_leaves_nothing_and_no_word(
    codec: str, suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = open_sink(str(tmp_path / f"out{suffix}"), video(), 12, codec=codec)
    sink.write(Frame(picture_table()[0], 0, 0.0, 0.04))
    sink.abort()  # as an interrupt or a failure inside `with` does
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
