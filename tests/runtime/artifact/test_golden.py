"""Golden files: what they hold, what they prove, what they refuse."""

from __future__ import annotations

import json
import random
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_artifacts import FRAMES, contract, picture_table, video
from hypothesis import given
from hypothesis import strategies as st

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.golden import (
    Golden,
    block_edges,
    block_sums,
    frame_digest,
    make_golden,
    read_golden,
    write_golden,
)
from pfnr_runtime.artifact.parity import BudgetRule, StepRule, likeness_floor, rule_for
from pfnr_runtime.errors import ArtifactError, UsageError, VerificationError
from pfnr_runtime.proof.golden_check import check_golden

EXACT = StepRule(1, 0.0002, 0.001)


@pytest.fixture
def golden() -> Golden:
    return make_golden(picture_table(), contract())


@pytest.fixture
def golden_file(golden: Golden, tmp_path: Path) -> Path:
    path = tmp_path / "v.golden"
    write_golden(golden, path)
    return path


def changed(amount: int, count: int, frame: int = 5) -> np.ndarray:
    """The table's pictures with some samples of one frame moved."""
    table = picture_table().copy()
    flat = table[frame].reshape(-1)
    moved = flat[:count].astype(int) + np.where(flat[:count] > 127, -amount, amount)
    flat[:count] = moved.astype(np.uint8)
    return table


def test_a_file_gives_back_what_was_written(golden: Golden, golden_file: Path) -> None:
    found = read_golden(golden_file, contract())
    assert found.header == golden.header
    assert np.array_equal(found.blocks, golden.blocks)
    assert sorted(found.whole) == [0, 6, FRAMES - 1]
    assert all(np.array_equal(frame, picture_table()[i]) for i, frame in found.whole.items())
    assert found.header.sha256 == [frame_digest(frame) for frame in picture_table()]


def test_the_same_frames_give_the_same_bytes(golden: Golden, golden_file: Path, tmp_path: Path) -> None:
    write_golden(make_golden(picture_table(), contract()), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == golden_file.read_bytes()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_blocks_part_the_frame(height: int, width: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    rows, columns = block_edges(height, width)
    sums = block_sums(frame)
    assert sums.shape == (len(rows), len(columns), 3)
    assert np.array_equal(sums.sum((0, 1)), frame.sum((0, 1), dtype=np.int64))


def test_equal_frames_are_counted_as_identical(golden: Golden, table_file: Path) -> None:
    with VideoDecoder(table_file) as decoder:
        report = check_golden(decoder, golden, EXACT)
    assert (report.passed, report.identical, report.bounded, report.largest) == (True, FRAMES, 0, 0)
    assert report.to_json()["psnr_between"] is None


def test_a_frame_within_the_rule_passes_without_an_equal_digest(table_file: Path) -> None:
    with VideoDecoder(table_file) as decoder:
        report = check_golden(decoder, make_golden(changed(1, 1), contract()), EXACT)
    assert (report.passed, report.identical, report.bounded) == (True, FRAMES - 1, 1)


def test_a_frame_outside_the_rule_is_refuted_by_its_blocks_alone(table_file: Path) -> None:
    with VideoDecoder(table_file) as decoder:
        report = check_golden(decoder, make_golden(changed(20, 50), contract()), EXACT)
    assert (report.passed, report.refuted) == (False, (5,))
    assert "frame 5" in report.problems[0]


def test_a_whole_frame_outside_the_rule_is_named(table_file: Path) -> None:
    with VideoDecoder(table_file) as decoder:
        report = check_golden(decoder, make_golden(changed(20, 50, frame=6), contract()), EXACT)
    assert not report.passed
    assert "frame 6 is worst: 20 steps" in report.problems[0]


@pytest.mark.parametrize(("amount", "passed"), [(1, True), (40, False)])
def test_a_budget_bounds_frames_by_their_likeness(table_file: Path, amount: int, passed: bool) -> None:
    rule = BudgetRule(0.1, (45.0,) * FRAMES)
    with VideoDecoder(table_file) as decoder:
        report = check_golden(decoder, make_golden(changed(amount, 36 * 64 * 3), contract()), rule)
    assert report.passed is passed


def test_the_likeness_floor_is_where_independent_errors_cost_the_budget() -> None:
    floor = likeness_floor(30.0, 0.1)
    assert 10 * np.log10(1 + 10 ** ((30 - floor) / 10)) == pytest.approx(0.1)


def test_the_rule_of_a_lower_precision_comes_from_its_report() -> None:
    report = {"budget": 0.1, "psnr_between": [60.0] * FRAMES, "source_psnr_fp32": [30.0] * FRAMES}
    rule = rule_for(contract(precision="int8", precision_report=report))
    assert rule == rule_for(contract(precision="of a later version", precision_report=report))
    assert isinstance(rule, BudgetRule)
    assert rule.floors == (likeness_floor(30.0, 0.1),) * FRAMES
    close = rule_for(contract(precision="int8", precision_report=report | {"psnr_between": [40.0] * FRAMES}))
    assert isinstance(close, BudgetRule)
    assert close.floors == (39.5,) * FRAMES


@pytest.mark.parametrize(
    "report", [{}, {"budget": "x"}, {"budget": 0.1, "psnr_between": [1.0], "source_psnr_fp32": [1.0]}]
)
def test_a_lower_precision_without_its_record_has_no_rule(report: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="export"):
        rule_for(contract(precision="int8", precision_report=report))


def test_the_golden_file_of_another_video_is_refused_by_digest(golden_file: Path) -> None:
    with pytest.raises(VerificationError, match="golden file of another video"):
        read_golden(golden_file, contract(weights_sha256="1" * 64))


def rewritten(path: Path, change: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | change
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"blocks.bin": b""},
        {"blocks.bin": zlib.compress(bytes(10**7))},
        {"golden.json": zlib.compress(b"[]")},
        {"golden.json": zlib.compress(b"[" * 100_000)},
        {"golden.json": zlib.compress(b"[" + b"[]," * 10**7 + b"[]]")},
        {"golden.json": zlib.compress(b'{"sha256":[' + b"0," * 10**7 + b"0]}")},
        {"golden.json": zlib.compress(b'{"frames":null,"sha256":[],"whole":[],"grid":[]}')},
        {"golden.json": zlib.compress(b'{"frames":' + b"9" * 5000 + b"}")},
        {"00000.png": b"not a picture" * 10},
        {f"{i}": b"" for i in range(100)},
    ],
    ids=["empty", "bomb", "no object", "nested", "lists", "numbers", "types", "digits", "no picture", "members"],
)
def test_a_damaged_file_is_named_as_such(golden_file: Path, change: dict[str, bytes]) -> None:
    rewritten(golden_file, change)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="golden"):
            read_golden(golden_file, contract())
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()


def test_flipped_bits_are_named_errors_or_change_nothing(golden: Golden, golden_file: Path) -> None:
    data, chance = golden_file.read_bytes(), random.Random(0)
    for _ in range(400):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        golden_file.write_bytes(changed)
        try:
            found = read_golden(golden_file, contract())
        except (ArtifactError, VerificationError):
            continue
        assert found.header.frames == golden.header.frames


def test_golden_files_too_large_to_read_are_not_made() -> None:
    record = video(frames=200_000)
    with pytest.raises(UsageError, match="to read; export without one"):
        make_golden(picture_table(), contract(record))


def test_a_whole_frame_that_is_not_its_digest_s_is_refused(golden_file: Path) -> None:
    with zipfile.ZipFile(golden_file) as archive:
        other = archive.read("00006.png")
    with pytest.raises(ArtifactError, match="digest"):
        read_golden(rewritten(golden_file, {"00000.png": other}), contract())


@pytest.mark.parametrize("field", ["frames", "sha256", "whole", "grid", "format_version", "width"])
def test_a_header_that_contradicts_itself_is_refused(golden_file: Path, field: str) -> None:
    with zipfile.ZipFile(golden_file) as archive:
        header = json.loads(zlib.decompress(archive.read("golden.json")))
    value = header[field]
    header[field] = [*value, 999] if isinstance(value, list) else value + 1
    data = zlib.compress(json.dumps(header).encode())
    with pytest.raises(ArtifactError):
        read_golden(rewritten(golden_file, {"golden.json": data}), contract())


def test_a_cut_or_foreign_file_is_refused(golden_file: Path) -> None:
    golden_file.write_bytes(golden_file.read_bytes()[:-30])
    with pytest.raises(ArtifactError, match="not a golden file"):
        read_golden(golden_file, contract())


def test_too_many_whole_frames_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="outside 0 to 64"):
        make_golden(picture_table(), contract(), 65)
