"""The H.264 that an artifact is compared with holds that artifact's frames, each found by its number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_artifacts import picture_table, save, table_model, video

from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench import compare
from pfnr_runtime.bench.compare import Encoded, encode
from pfnr_runtime.bench.h264 import H264Reader, hardware_devices
from pfnr_runtime.errors import BackendError
from pfnr_runtime.video.metrics import psnr

LONG = video(frames=40, fps=Fraction(30000, 1001))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoded]:
    folder = tmp_path_factory.mktemp("h264")
    with VideoDecoder(save(table_model(LONG), folder / "long.onnx"), threads=1) as decoder:
        yield encode(decoder, folder / "same.mp4", seconds=60.0)


def test_it_holds_the_artifacts_frames_at_the_quality_it_states(encoded: Encoded) -> None:
    assert encoded.frames == 40
    assert "crf 18" in encoded.description
    table = picture_table(LONG)
    with H264Reader(encoded.path, threads=1) as reader:
        pictures = np.stack(list(reader.pictures()))
    assert pictures.shape == table.shape
    assert min(psnr(a, b) for a, b in zip(pictures, table, strict=True)) > 25


def test_a_picture_by_number_is_the_one_in_order(encoded: Encoded) -> None:
    with H264Reader(encoded.path, threads=1) as reader:
        pictures = list(reader.pictures())
        for index in (39, 0, 17, 18, 1, 25):
            assert (reader.picture(index) == pictures[index]).all()
        with pytest.raises(IndexError):
            reader.picture(40)
        assert (next(reader.pictures()) == pictures[0]).all()


def test_a_slow_decoder_gives_some_of_its_frames(tmp_path: Path) -> None:
    with VideoDecoder(save(table_model(LONG), tmp_path / "long.onnx"), threads=1) as decoder:
        assert encode(decoder, tmp_path / "some.mp4", seconds=0.0).frames == compare.LEAST_FRAMES


def test_hardware_that_is_not_here_is_an_error_and_no_silent_processor(encoded: Encoded) -> None:
    said = []
    for device in hardware_devices():
        try:
            with H264Reader(encoded.path, threads=1, device=device) as reader:
                assert len(list(reader.pictures())) == 40  # it is here: then it decodes
        except BackendError as error:
            said.append(str(error))
    assert all(text.isprintable() for text in said)
