"""Uneven times, transfer and primaries: in every output that can hold them, and said where one cannot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.reformatter import Colorspace
from helpers.commands import Run
from helpers.tiny_artifacts import UNEVEN, picture_table, save, table_model, uneven_video, video
from numpy.typing import NDArray

from pfnr_runtime.errors import SinkError
from pfnr_runtime.playback.playback import write_screenshot
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.sinks.video_codecs import CODECS
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.metrics import psnr
from pfnr_runtime.video.record import Colour, VideoRecord

FILES = [(name, suffix) for name, codec in CODECS.items() for suffix in codec.suffixes]
# Transfer, primaries, matrix of H.273: PQ and HLG in BT.2020, Display P3, and PAL's primaries with BT.709's curve.
COLOURS = {
    (16, 9, 9): Colour("bt2020", transfer="smpte2084"),
    (18, 9, 9): Colour("bt2020", transfer="arib-std-b67"),
    (13, 12, 1): Colour("bt709", transfer="iec61966-2-1", primaries="smpte432"),
    (1, 5, 6): Colour("bt601", transfer="bt709", primaries="bt470bg"),
}


def write(uri: Path | str, record: VideoRecord, pictures: NDArray[Any], **options: Any) -> str:
    """Write the pictures; what the sink says it wrote."""
    with open_sink(str(uri), record, len(pictures), **options) as sink:
        for i, picture in enumerate(pictures):
            sink.write(Frame(picture, i, record.pts_seconds(i), record.duration_seconds(i)))
    return sink.description


def read(path: Path) -> tuple[list[Fraction], Fraction, list[Any]]:
    """When each frame of a file appears, when the last one ends, and the frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert container.duration is not None
        starts = [Fraction(frame.pts) * frame.time_base for frame in frames]
        last = starts[-1] + Fraction(frames[-1].duration) * frames[-1].time_base
        assert last == Fraction(container.duration, 10**6)
        return starts, last, frames


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_each_frame_of_a_file_appears_when_the_source_showed_it(codec: str, suffix: str, tmp_path: Path) -> None:
    record, path = uneven_video(), tmp_path / f"out{suffix}"
    description = write(path, record, picture_table(record), codec=codec)
    assert description.endswith(", variable frame rate")
    starts, end, frames = read(path)
    assert starts == [UNEVEN.start(i) for i in range(12)]
    assert end == 10
    for i, frame in enumerate(frames):
        back = frame.reformat(format="rgb24", src_colorspace=1, dst_color_range=2).to_ndarray()
        assert i == max(range(12), key=lambda j: psnr(back, picture_table(record)[j]))


@pytest.mark.parametrize(
    ("base", "ticks"),
    [
        (Fraction(1001, 30000), [1, 2, 30, 3, 1]),
        (Fraction(1, 90000), [3000, 3001, 90_000, 1500, 9]),
        (Fraction(1, 10**9), [10**7, 10**8 + 1, 10**9, 33_333_333, 10**6]),
        (Fraction(999_983, 999_979_000), [40, 33, 1000, 2, 40]),
    ],
)
def test_every_time_base_is_kept_in_mp4(base: Fraction, ticks: list[int], tmp_path: Path) -> None:
    times = FrameTimes.from_durations(base, ticks)
    record = video(frames=5, fps=times.rate, times=times)
    write(tmp_path / "out.mp4", record, picture_table(record))
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = [Fraction(frame.pts) * frame.time_base for frame in container.decode(video=0)]
    assert found == [times.start(i) for i in range(5)]


def test_frames_too_fast_for_matroska_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    times = FrameTimes.from_durations(Fraction(1, 10_000), [400, 400, 9, 400])
    record = video(frames=4, fps=times.rate, times=times)
    with pytest.raises(SinkError, match=r"frame 2 stays 0.0009 s; .mkv resolves only 0.001 s"):
        write(tmp_path / "out.mkv", record, picture_table(record))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.y4m", "out.rgb", "out.yuv", "%d.png", "%d.jpg", "%d.webp"])
def test_an_output_without_times_says_so(name: str, tmp_path: Path) -> None:
    record = uneven_video()
    said = write(tmp_path / name, record, picture_table(record))
    assert "it cannot hold the variable frame rate (1.2 a second on average)" in said
    assert "variable" not in write(tmp_path / name, video(), picture_table())


def test_one_image_has_no_times_to_lose(tmp_path: Path) -> None:
    assert "variable" not in write(tmp_path / "one.png", uneven_video().select([3]), picture_table()[3:4])


@pytest.mark.parametrize("tags", COLOURS, ids=str)
@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_a_video_file_keeps_transfer_and_primaries(
    codec: str, suffix: str, tags: tuple[int, int, int], tmp_path: Path
) -> None:
    record = video(colour=COLOURS[tags])
    if record.colour.matrix == "bt2020" and codec != "ffv1" and "BT2020" not in Colorspace.__members__:
        pytest.skip("PyAV 17 cannot convert to BT.2020")
    said = write(tmp_path / f"out{suffix}", record, picture_table(record), codec=codec)
    assert record.colour.unusual in said
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        frame = next(container.decode(video=0))
        context: Any = container.streams.video[0].codec_context
        found = (int(context.color_trc), int(context.color_primaries), int(context.colorspace))
        assert found == (*tags[:2], 0 if codec == "ffv1" else tags[2])
        assert (int(frame.color_trc), int(frame.color_primaries)) == tags[:2]


def test_a_png_keeps_transfer_and_primaries(tmp_path: Path) -> None:
    record = video(frames=1, colour=COLOURS[16, 9, 9])
    assert "cannot" not in write(tmp_path / "one.png", record, picture_table(record))
    with av.open(str(tmp_path / "one.png")) as image:
        frame: Any = next(image.decode(video=0))
    assert (int(frame.color_trc), int(frame.color_primaries)) == (16, 9)
    assert (frame.to_ndarray(format="rgb24") == picture_table(record)[0]).all()


def test_a_screenshot_keeps_transfer_and_primaries(tmp_path: Path) -> None:
    frame = Frame(picture_table()[0], 3, 0.12, 0.04)
    write_screenshot(tmp_path, "pq", frame, COLOURS[16, 9, 9])
    assert b"cICP\x09\x10\x00\x01" in (tmp_path / "pq-00003.png").read_bytes()


def test_a_png_of_the_usual_colours_has_no_word_of_them(tmp_path: Path) -> None:
    write(tmp_path / "one.png", video(frames=1), picture_table()[:1])
    assert b"cICP" not in (tmp_path / "one.png").read_bytes()


@pytest.mark.parametrize("name", ["out.y4m", "out.rgb", "out.yuv", "%d.jpg", "%d.webp"])
def test_an_output_without_transfer_and_primaries_says_so(name: str, tmp_path: Path) -> None:
    record = video(colour=COLOURS[13, 12, 1])
    said = write(tmp_path / name, record, picture_table(record))
    assert "it cannot record transfer iec61966-2-1 and primaries smpte432" in said
    assert "record" not in write(tmp_path / name, video(), picture_table())


def test_an_mp4_begins_with_its_index(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", video(), picture_table())
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_commands_write_the_times_of_the_frames_they_choose(tmp_path: Path, run: Run) -> None:
    artifact = save(table_model(uneven_video()), tmp_path / "v.onnx")
    run("decode", artifact, tmp_path / "a.mp4", "--frames", "7:10")
    assert read(tmp_path / "a.mp4")[:2] == ([0, Fraction(20, 1000), Fraction(2720, 1000)], Fraction(3720, 1000))
    run("decode", artifact, tmp_path / "b.mp4", "--frames", "9:6:-1")
    assert read(tmp_path / "b.mp4")[:2] == ([0, 1, Fraction(3700, 1000)], Fraction(3720, 1000))
    run("play", artifact, tmp_path / "c.mp4", "--speed", "2")
    assert read(tmp_path / "c.mp4")[:2] == ([UNEVEN.start(i) / 2 for i in range(12)], 5)
    run("play", artifact, tmp_path / "d.mp4", "--fps", "10")
    assert read(tmp_path / "d.mp4")[:2] == ([Fraction(i, 10) for i in range(12)], Fraction(12, 10))
    said = run("decode", artifact, tmp_path / "e.y4m").stderr
    assert "it cannot hold the variable frame rate" in said


def test_only_the_file_name_is_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "100%done %d"
    folder.mkdir()
    write(folder / "%05d.png", video(), picture_table())
    assert len(list(folder.glob("000??.png"))) == 12
    write(folder / "one.jpg", video(frames=1), picture_table()[:1])
    assert (folder / "one.jpg").exists()
