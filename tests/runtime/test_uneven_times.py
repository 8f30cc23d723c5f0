"""A video whose frames are not evenly spaced keeps its times from the artifact to the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run
from helpers.simulation import Simulation
from helpers.tiny_artifacts import FRAMES, UNEVEN, between_model, save, table_model, uneven_video

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.errors import UsageError
from pfnr_runtime.playback.moments import parse_moment, parse_span
from pfnr_runtime.playback.player import Player
from pfnr_runtime.playback.slow_motion import SlowMotion

STARTS = [float(UNEVEN.start(i)) for i in range(FRAMES + 1)]
STAYS = [float(UNEVEN.duration_of(i)) for i in range(FRAMES)]


@pytest.fixture(scope="module")
def uneven_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(table_model(uneven_video()), tmp_path_factory.mktemp("artifacts") / "uneven.onnx")


@pytest.fixture
def decoder(uneven_file: Path) -> Iterator[VideoDecoder]:
    with VideoDecoder(uneven_file) as opened:
        yield opened


def test_the_artifact_carries_the_table(decoder: VideoDecoder) -> None:
    assert decoder.metadata.times == UNEVEN
    assert ArtifactContract.from_json(decoder.contract.to_json()).video == uneven_video()


def test_frames_carry_the_sources_times(decoder: VideoDecoder) -> None:
    batch = decoder[:]
    assert batch.pts_seconds.tolist() == STARTS[:-1]
    assert batch.duration_seconds.tolist() == STAYS
    assert (decoder[8].pts_seconds, decoder[8].duration_seconds) == (4.3, 2.7)
    assert decoder[::-1].duration_seconds.tolist() == STAYS[::-1]


def test_the_frame_on_screen_is_the_one_the_source_showed(decoder: VideoDecoder) -> None:
    for index in range(FRAMES):
        assert decoder.get_frame_played_at(STARTS[index]).index == index
        assert decoder.get_frame_played_at(STARTS[index + 1] - 0.001).index == index
    with pytest.raises(ValueError, match=r"outside \[0, 10\) s"):
        decoder.get_frame_played_at(10.0)


@pytest.mark.parametrize(
    ("start", "stop", "indices"),
    [
        (0.0, 4.0, [0]),
        (0.0, 4.001, [0, 1]),
        (3.999, 4.066, [0, 1, 2]),
        (5.0, 6.0, [8]),
        (9.0, 10.0, [11]),
        (0.0, 10.0, list(range(FRAMES))),
        (2.0, 2.0, []),
    ],
)
def test_frames_on_screen_during_a_time(
    decoder: VideoDecoder, start: float, stop: float, indices: list[int]
) -> None:
    assert decoder.get_frames_played_in_range(start, stop).indices.tolist() == indices


def test_a_player_shows_each_frame_when_the_source_did() -> None:
    run = Simulation(Player({0: uneven_video()}, 0), lambda frame: 0.005)
    run.run(100)
    assert [frame for _, frame, _ in run.shown] == list(range(FRAMES))
    assert [time - 0.005 for time, _, _ in run.shown] == pytest.approx(STARTS[:-1])
    assert run.now - 0.005 == pytest.approx(10)  # the last frame has its own time, not the average one


def test_a_player_skips_the_frames_that_would_be_late() -> None:
    run = Simulation(Player({0: uneven_video()}, 0), lambda frame: 0.3)
    run.run(100)
    shown = [frame for _, frame, _ in run.shown]
    assert run.skipped + run.dropped == FRAMES - len(shown) > 0
    assert shown == sorted(shown)
    assert {0, 8, 9, 10, 11} <= set(shown)  # those that stay long enough are all there
    assert run.now == pytest.approx(10.3)  # from when the first appeared


def test_a_loop_a_speed_and_a_pause_keep_the_shares() -> None:
    player = Player({0: uneven_video()}, 0, start=8, stop=10, loop=True, speed=2.0)
    run = Simulation(player, lambda frame: 0.001)
    run.run(3.8)
    assert [frame for _, frame, _ in run.shown] == [8, 9, 8, 9, 8]
    assert [time - 0.001 for time, _, _ in run.shown] == pytest.approx([0, 1.35, 1.85, 3.2, 3.7])
    player.set_speed(1.0, run.now)  # frame 8 has been on screen for 0.099 of its 1.35 seconds
    player.toggle_loop()
    run.run(100)
    assert run.shown[5][:2] == pytest.approx((3.8 + 2.7 * (1 - 0.099 / 1.35), 9))


def test_seeks_are_by_the_videos_own_time() -> None:
    player = Player({0: uneven_video()}, 0)
    for seconds, frame in ((4.05, 2), (0.5, 8), (0.1, 9), (-0.5, 8), (-100.0, 0), (100.0, 11)):
        player.seek_by(seconds)
        assert player.position == frame


def test_a_rate_that_is_asked_for_takes_the_tables_place() -> None:
    run = Simulation(Player({0: uneven_video()}, 0, fps=Fraction(10)), lambda frame: 0.0)
    run.run(100)
    assert [time for time, _, _ in run.shown] == pytest.approx([i / 10 for i in range(FRAMES)])


def test_moments_are_found_in_the_table() -> None:
    record = uneven_video()
    found = {text: parse_moment(text, record) for text in ("0", "3.9", "4", "0:05", "9.5", "10", "7f")}
    assert found == {"0": 0, "3.9": 0, "4": 1, "0:05": 8, "9.5": 11, "10": 12, "7f": 7}
    assert parse_span("4", "7", record) == range(1, 9)
    with pytest.raises(UsageError, match="has 12 frames, 10 seconds"):
        parse_moment("10.1", record)


def test_slow_motion_slows_every_frame_alike(tmp_path: Path) -> None:
    path = save(between_model(uneven_video()), tmp_path / "between.onnx")
    with VideoDecoder(path, threads=1) as decoder:
        batch = decoder.get_frames_at_positions([0.25, 8.5, 11.0])
        assert batch.pts_seconds.tolist() == pytest.approx([1.0, 5.65, 9.0])
        assert batch.duration_seconds.tolist() == pytest.approx([3.0, 1.35, 1.0])
        slow = SlowMotion(decoder, 2)
        assert slow.metadata.duration == 20
        frames = next(slow.iter(range(24), batch_size=24))
        assert frames.duration_seconds.tolist() == list(np.repeat(STAYS, 2))
        assert frames.pts_seconds[::2].tolist() == pytest.approx([2 * start for start in STARTS[:-1]])


def test_inspect_says_that_frames_have_their_own_times(uneven_file: Path, run: Run) -> None:
    assert "1.2 fps on average, variable frame rate" in run("inspect", uneven_file).stdout
    contract = json.loads(run("inspect", uneven_file, "--json").stdout)["contract"]
    assert contract["video"]["times"] == UNEVEN.to_json()
