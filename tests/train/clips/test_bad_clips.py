"""Every clip that cannot be read ends in a ClipError of one line that says what, where and what to do."""

from __future__ import annotations

import contextlib
import os
import random

import numpy as np
import pytest
from helpers.clips import write_audio, write_image, write_lossless, write_video
from helpers.synthetic import moving_pattern

from pfnr_runtime.errors import ClipError
from pfnr_train.clips import probe, read_clip


def error_of(path, *args, **kwargs):
    with pytest.raises(ClipError) as caught:
        read_clip(path, *args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"these are only words\n" * 50, "not a video"),
        ("text.txt", b"these are only words\n" * 50, "not a video"),
        ("random.mp4", np.random.default_rng(0).bytes(5000), "not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n", "not a video"),
    ],
)
def test_a_file_that_is_no_video(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    assert says in error_of(tmp_path / name)


def test_a_path_that_is_not_there(tmp_path):
    assert "no such file or folder" in error_of(tmp_path / "missing.mp4")
    error_of(tmp_path / ("a" * 300))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not an ordinary file" in error_of(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = write_lossless(tmp_path / "a.mkv")
    path.chmod(0)
    assert "permission denied" in error_of(path)


def test_sound_alone_is_no_video(tmp_path):
    assert "no video in this file (it holds only audio)" in error_of(write_audio(tmp_path / "a.m4a"))


def test_one_frame_is_no_video(tmp_path):
    assert "at least 2 frames" in error_of(write_lossless(tmp_path / "a.mkv", 1))
    assert "at least 2 frames" in error_of(write_image(tmp_path / "a.png", moving_pattern(1, 64, 48)[0]))


@pytest.mark.parametrize(
    "taken", [slice(0, 13), slice(-3, None), slice(0, -1), slice(12, 14), slice(12, None), slice(50, 60)]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_range_that_leaves_the_clip_says_how_many_frames_there_are(tmp_path, name, taken):
    assert "has 12 frames (0:12)" in error_of(write_video(tmp_path / name, 12), taken)


@pytest.mark.parametrize(
    ("taken", "says"), [(slice(5, 5), "empty"), (slice(6, 3), "empty"), (slice(3, 4), "at least 2")]
)
def test_a_range_of_fewer_than_two_frames(tmp_path, taken, says):
    assert says in error_of(write_lossless(tmp_path / "a.mkv"), taken)


def test_a_range_with_a_step_is_refused(tmp_path):
    assert "leave out the step 2" in error_of(write_lossless(tmp_path / "a.mkv"), slice(0, 8, 2))


def test_frames_that_change_size_midway_are_named(tmp_path):
    first = write_video(tmp_path / "1.264", 5, container="h264")
    second = write_video(tmp_path / "2.264", moving_pattern(5, 80, 60), container="h264")
    joined = tmp_path / "joined.264"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    text = error_of(joined)
    assert "frame 5 is 80×60" in text
    assert "64×48" in text
    assert "`frames=0:5`" in text
    assert len(read_clip(joined, slice(0, 5)).frames) == 5


def test_images_of_two_sizes_are_named(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.png", moving_pattern(1, 64 + 2 * (i == 2), 48)[0])
    assert "frame 2 is 66×48" in error_of(tmp_path)


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.mp4", {"container_options": {"movflags": "+faststart"}}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.y4m", {"codec": "rawvideo", "container": "yuv4mpegpipe"}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_a_truncated_clip_says_what_is_readable_and_gives_it(tmp_path, name, more):
    path = write_video(tmp_path / name, moving_pattern(24, 160, 120), **more)
    whole = read_clip(path).frames
    text = error_of(cut(path, 0.75))
    assert "damaged or cut short after" in text
    readable = int(text.split("`frames=0:")[1].rstrip("`"))
    assert 2 <= readable < 24
    assert np.array_equal(read_clip(path, slice(0, readable)).frames, whole[:readable])


def test_a_clip_cut_between_two_frames_is_noticed(tmp_path):
    import av

    path = write_video(tmp_path / "a.mp4", 24, container_options={"movflags": "+faststart"})
    with av.open(str(path)) as file:
        where = [p.pos for p in file.demux(video=0) if p.size][12]
    path.write_bytes(path.read_bytes()[:where])
    assert "its header promises 0.96 seconds" in error_of(path)


def test_a_clip_whose_index_is_gone_is_refused(tmp_path):
    assert "header is damaged" in error_of(cut(write_video(tmp_path / "a.mp4", 12), 0.9))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    for i, picture in enumerate(moving_pattern(4, 64, 48)):
        write_image(tmp_path / f"{i}{suffix}", picture, codec="png" if suffix == ".png" else "mjpeg")
    cut(tmp_path / f"2{suffix}", 0.6)
    text = error_of(tmp_path)
    assert f"2{suffix}" in text
    assert "`frames=0:2`" in text
    assert len(read_clip(tmp_path, slice(0, 2)).frames) == 2


def test_a_folder_names_what_is_no_image(tmp_path):
    assert "it is empty" in error_of(tmp_path)
    (tmp_path / "sub").mkdir()
    assert "no images in this folder (it holds sub/)" in error_of(tmp_path)
    write_image(tmp_path / "0.png", moving_pattern(1, 64, 48)[0])
    (tmp_path / "notes.txt").write_text("words")
    assert "notes.txt, sub/" in error_of(tmp_path)


def test_a_gap_in_a_numbered_sequence_is_named(tmp_path):
    for i in (1, 2, 4):
        write_image(tmp_path / f"{i:03d}.png", moving_pattern(1, 64, 48)[0])
    with pytest.raises(ClipError, match=r"003\.png: missing"):
        probe(tmp_path / "%03d.png")
    assert "no file matches" in error_of(tmp_path / "%05d.png")


def test_frames_that_do_not_fit_into_memory_are_refused_before_they_are_read(tmp_path):
    path = write_lossless(tmp_path / "a.mkv")
    assert "do not fit into memory" in error_of(path, slice(0, 900_000), size=(16000, 16000))


def test_an_impossible_rate_is_refused(tmp_path):
    with pytest.raises(ClipError, match="frames per second"):
        probe(tmp_path, fps=0)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_end_in_frames_or_a_clip_error_and_no_noise(tmp_path, capfd, seed):
    clips = [
        write_video(tmp_path / "a.mp4", 6, container_options={"movflags": "+faststart"}),
        write_lossless(tmp_path / "a.mkv", 4),
        write_video(tmp_path / "a.gif", 4, "gif", "rgb8"),
        write_video(tmp_path / "a.264", 6, container="h264"),
        write_video(tmp_path / "a.ts", 6),
    ]
    capfd.readouterr()
    rng = random.Random(seed)
    for path in clips:
        for cutting in (True, False):
            data = bytearray(path.read_bytes())
            if cutting:
                data = data[: rng.randrange(len(data))]
            else:
                for _ in range(8):
                    data[rng.randrange(min(len(data), 2000))] = rng.randrange(256)
            harmed = path.with_name("harmed" + path.suffix)
            harmed.write_bytes(bytes(data))
            # Any other exception than a ClipError fails the test.
            with contextlib.suppress(ClipError):
                assert read_clip(harmed, size=(32, 18)).frames.shape[1:] == (18, 32, 3)
    assert capfd.readouterr().err == ""
