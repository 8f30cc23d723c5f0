"""Clips of a sequence: found before anything is trained, or all that is wrong with them said at once."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from helpers.clip_surgery import join_streams, overwrite, spoil_packet
from helpers.clips import write_lossless, write_video
from helpers.synthetic import moving_pattern

from pfnr_runtime.errors import ClipError
from pfnr_train.sequence.clips import data_folder, describe_differences, find_clips
from pfnr_train.sequence.sequence import VideoSequence, read_sequence

HEAD = 'name = "three"\nsize = "40x24"\nfolders = ["sub", "."]\n[network]\npreset = "tiny"\n'


def made_sequence(folder: Path, *videos: str) -> VideoSequence:
    path = folder / "s.toml"
    path.write_text(HEAD + "".join(f"[[video]]\n{video}\n" for video in videos))
    return read_sequence(path)


def test_clips_are_files_with_or_without_suffix_and_folders_of_images(tmp_path: Path) -> None:
    (tmp_path / "sub" / "c").mkdir(parents=True)
    write_lossless(tmp_path / "sub" / "a.mkv", moving_pattern(4, 40, 24, 0))
    write_lossless(tmp_path / "b.mkv", moving_pattern(4, 40, 24, 1))
    from pfnr_runtime.sinks.images import FORMATS, encode_image

    for k, picture in enumerate(moving_pattern(3, 40, 24, 2)):
        (tmp_path / "sub" / "c" / f"{k}.png").write_bytes(encode_image(picture, FORMATS[".png"]))
    sequence = made_sequence(tmp_path, 'name = "a"', 'name = "b"\nclip = "b.mkv"', 'name = "c"\nfps = 12')
    found = find_clips(sequence, tmp_path)
    assert [each.info.path.name for each in found] == ["a.mkv", "b.mkv", "c"]
    assert [each.read(sequence).frames.shape[0] for each in found] == [4, 4, 3]
    assert found[2].info.fps == 12


def test_all_that_is_wrong_is_one_error(tmp_path: Path) -> None:
    write_lossless(tmp_path / "short.mkv", moving_pattern(4, 40, 24, 0))
    (tmp_path / "broken.mkv").write_bytes(b"no video")
    sequence = made_sequence(
        tmp_path,
        'name = "lost"',
        'name = "short"\nframes = "0:5"',
        'name = "broken"',
        'name = "gone"\nclip = "far/gone"',
    )
    with pytest.raises(ClipError) as caught:
        find_clips(sequence, tmp_path)
    text = str(caught.value)
    assert text.startswith("4 of the 4 videos of three cannot be used: missing in ")
    assert "lost, far/gone; name another folder with `data`" in text
    assert "short.mkv has 4 frames, but frames up to 5 are requested" in text
    assert "broken.mkv: not a video" in text
    assert "\n" not in text


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    for suffix in ("mkv", "avi"):
        write_lossless(tmp_path / f"a.{suffix}", moving_pattern(3, 40, 24, 0))
    with pytest.raises(ClipError, match=r"a\.avi, .*a\.mkv: ambiguous"):
        find_clips(made_sequence(tmp_path, 'name = "a"'), tmp_path)


def test_other_sizes_and_rates_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pfnr")
    write_lossless(tmp_path / "a.mkv", moving_pattern(3, 40, 24, 0))
    write_lossless(tmp_path / "b.mkv", moving_pattern(3, 80, 40, 0))
    sequence = made_sequence(tmp_path, 'name = "a"', 'name = "b"\nfps = 50')
    found = find_clips(sequence, tmp_path)
    describe_differences(sequence, found)
    said = caplog.messages
    assert said[0] == "a: kept at 40×24"
    assert said[1].startswith("b: cropped 80×40 to 67×40 and scaled to 40×24 (Lanczos)")
    assert said[2] == "frames per second differ (a 25; b 50): each session keeps its own"
    assert all(each.read(sequence).frames.shape[1:] == (24, 40, 3) for each in found)


def test_the_data_folder_is_an_option_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PFNR_DATA", raising=False)
    with pytest.raises(ClipError, match=r"`data=FOLDER` or \$PFNR_DATA"):
        data_folder(None)
    monkeypatch.setenv("PFNR_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path
    with pytest.raises(ClipError, match="does not exist"):
        data_folder(tmp_path / "nowhere")


def test_a_video_names_its_stream_and_whether_damage_is_tolerated(tmp_path: Path) -> None:
    parts = [write_lossless(tmp_path / f"part{k}.mkv", moving_pattern(4, 40, 24, k)) for k in range(2)]
    join_streams(tmp_path / "both.mkv", [(part, k == 0) for k, part in enumerate(parts)])
    noise = np.random.default_rng(0).integers(0, 256, (6, 24, 40, 3), np.uint8)
    spoil_packet(write_video(tmp_path / "bad.avi", noise, "mjpeg", "yuvj420p"), 3)
    sequence = made_sequence(
        tmp_path,
        'name = "first"\nclip = "both.mkv"',
        'name = "second"\nclip = "both.mkv"\nstream = 1',
        'name = "bad"\ntolerate_damage = true',
        'name = "strict"\nclip = "bad.avi"',
    )
    found = find_clips(sequence, tmp_path)
    for k in range(2):
        assert np.array_equal(found[k].read(sequence).frames, moving_pattern(4, 40, 24, k))
    assert len(found[2].read(sequence).frames) == 6
    with pytest.raises(ClipError, match="damaged at frame 3"):
        found[3].read(sequence)


def test_a_count_in_a_header_that_is_too_small_hides_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving_pattern(8, 40, 24), "mpeg4")
    overwrite(path, path.read_bytes().index(b"strh") + 8 + 32, b"\x02\0\0\0")
    sequence = made_sequence(tmp_path, 'name = "a"\nframes = "2:8"')
    assert len(find_clips(sequence, tmp_path)[0].read(sequence).frames) == 6
