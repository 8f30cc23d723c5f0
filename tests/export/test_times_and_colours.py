"""A table of times and unusual colours go from the library through every kind of export."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.libraries import made_library, small_config

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_export.triton import config_text
from pfnr_runtime import VideoDecoder
from pfnr_runtime.video.frame_times import FrameTimes
from pfnr_runtime.video.record import Colour, VideoRecord
from pfnr_train.library.file import library_bytes, read_library, write_library
from pfnr_train.library.library import Library

TIMES = FrameTimes.from_durations(Fraction(1, 1000), [3000, 40, 40, 960])
STARTS = [0, 3, 3.04, 3.08]


@pytest.fixture
def plain() -> Library:
    return made_library(small_config(), 2, frames=4)


@pytest.fixture
def uneven(plain: Library) -> Library:
    """Its first session with frames at their own times, in PQ."""
    first, second = plain.sessions
    colour = Colour("bt2020", transfer="smpte2084")
    video = replace(first.record.video, fps=Fraction(1), times=TIMES, colour=colour)
    return replace(plain, sessions=(replace(first, record=replace(first.record, video=video)), second))


def wanted(library: Library) -> VideoRecord:
    return library.sessions[0].record.video


def test_the_library_file_keeps_them(uneven: Library, tmp_path: Path) -> None:
    write_library(uneven, tmp_path / "library.pfnr")
    found = read_library(tmp_path / "library.pfnr")
    assert wanted(found) == wanted(uneven)
    assert library_bytes(found) == library_bytes(uneven)


def test_a_library_at_constant_rates_has_not_a_byte_of_them(plain: Library) -> None:
    data = library_bytes(plain)
    assert all(word not in data for word in (b'"times"', b"transfer", b"primaries"))


def test_an_artifact_of_its_own_and_one_of_a_shared_graph_keep_them(uneven: Library, tmp_path: Path) -> None:
    export_session(uneven, 0, tmp_path / "alone.onnx", ExportOptions(fourier="matmul"))
    export_shared(uneven, [0, 1], tmp_path / "library.onnx", SharedOptions())
    for name in ("alone.onnx", "library.onnx"):
        with VideoDecoder(tmp_path / name, session=0, threads=1) as decoder:
            assert decoder.metadata == wanted(uneven)
            assert decoder[:].pts_seconds.tolist() == STARTS
            assert decoder.get_frame_played_at(2.9).index == 0


def test_switching_a_shared_graph_switches_the_times(uneven: Library, tmp_path: Path) -> None:
    export_shared(uneven, [0, 1], tmp_path / "library.onnx", SharedOptions())
    with VideoDecoder(tmp_path / "library.onnx", session=1, threads=1) as decoder:
        assert decoder[3].pts_seconds == 0.12
        decoder.switch(0)
        assert decoder[3].pts_seconds == 3.08


def test_a_triton_model_states_the_times(uneven: Library, plain: Library, tmp_path: Path) -> None:
    export_session(uneven, 0, tmp_path / "alone.onnx", ExportOptions(fourier="matmul"))
    with VideoDecoder(tmp_path / "alone.onnx", threads=1) as decoder:
        text = config_text("alone", decoder.contract)
        steady = config_text("alone", replace(decoder.contract, video=wanted(plain)))
    quoted = json.dumps(json.dumps(TIMES.to_json(), sort_keys=True))
    assert 'key: "pfnr_times"' in text
    assert quoted.replace('\\"', "\\042") in text
    assert "pfnr_times" not in steady
