"""The player in made-up time: every frame on time, late ones never decoded, keys that mean what they say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from helpers.simulation import Simulation
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_runtime.playback.player import Player
from pfnr_runtime.video.record import VideoRecord

FPS = 10


def video(frames: int = 30, fps: int = FPS) -> VideoRecord:
    return VideoRecord("test", frames, 64, 36, Fraction(fps))


def start(frames: int = 30, *, cost: float = 0.01, **options: Any) -> tuple[Player, Simulation]:
    player = Player({0: video(frames), 1: video(20, 20), 5: video(8)}, 0, **options)
    return player, Simulation(player, lambda frame: cost)


def frames(simulation: Simulation) -> list[int]:
    return [frame for _, frame, _ in simulation.shown]


def test_a_fast_decoder_shows_every_frame_on_time_and_ends() -> None:
    _, run = start()
    run.run(100)
    assert frames(run) == list(range(30))
    assert [t for t, _, _ in run.shown] == pytest.approx([0.01 + i / FPS for i in range(30)])
    assert max(late for _, _, late in run.shown) == pytest.approx(0)
    assert run.ended
    assert run.now == pytest.approx(0.01 + 30 / FPS)  # the last frame has its time too
    assert (run.skipped, run.dropped) == (0, 0)


@pytest.mark.parametrize("slowness", [1.5, 2.0, 2.5, 3.7])
def test_a_slow_decoder_skips_before_it_decodes_and_keeps_the_time(slowness: float) -> None:
    _, run = start(300, cost=slowness / FPS)
    run.run(1000)
    assert run.ended
    assert run.dropped == 0
    assert len(run.decoded) == len(run.shown)  # nothing is decoded in vain
    assert run.skipped + len(run.shown) == 300
    begin = run.shown[0][0]
    for time, frame, _ in run.shown[2:]:  # the second is begun before there is a time to keep
        assert 0 <= time - begin - frame / FPS < 1 / FPS + 1e-9  # each is the one whose time it is
    assert len(run.shown) >= 300 / (slowness + 1)
    assert frames(run)[-1] == 299


def test_one_long_stall_costs_the_frames_of_its_time_alone() -> None:
    player = Player({0: video(100)}, 0)
    run = Simulation(player, lambda frame: 1.0 if frame == 40 else 0.01)
    run.run(100)
    lost = set(range(100)) - set(frames(run))
    assert lost <= set(range(36, 52))
    assert len(lost) <= 10
    assert run.now == pytest.approx(0.01 + 100 / FPS, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40), st.integers(1, 60), st.booleans())
def test_whatever_decoding_costs_order_time_and_the_last_frame_hold(
    costs: list[float], count: int, timed: bool
) -> None:
    player = Player({0: video(count)}, 0, timed=timed)
    run = Simulation(player, lambda frame: costs[frame % len(costs)] if frame >= 0 else 0.1)
    run.run(10_000)
    seen = frames(run)
    assert run.ended
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (0, count - 1)
    assert len(seen) + run.skipped + run.dropped == count
    assert all(late >= -1e-9 for _, _, late in run.shown)
    if not timed:
        assert seen == list(range(count))


def test_a_loop_goes_on_without_a_break_in_time() -> None:
    _, run = start(7, loop=True)
    run.run(3.0)
    assert frames(run) == [i % 7 for i in range(30)]
    assert [t for t, _, _ in run.shown] == pytest.approx([0.01 + i / FPS for i in range(30)])


def test_a_range_plays_alone_and_loops_in_itself() -> None:
    _, run = start(start=5, stop=8, loop=True)
    run.run(0.7)
    assert frames(run) == [5, 6, 7, 5, 6, 7, 5]


def test_speed_and_rate_change_the_time_between_frames() -> None:
    player, run = start(100, fps=Fraction(20), speed=2.0)
    run.run(0.4)
    assert [t for t, _, _ in run.shown[:5]] == pytest.approx([0.01 + i / 40 for i in range(5)])
    before = len(run.shown)
    player.set_speed(0.5, run.now)
    run.run(2.4)
    assert len(run.shown) - before == pytest.approx(2.0 * 10, abs=1)
    gaps = [b[0] - a[0] for a, b in zip(run.shown[before:], run.shown[before + 1 :], strict=False)]
    assert gaps == pytest.approx([0.1] * len(gaps))
    player.set_speed(0, run.now)
    assert player.speed == 0.01
    player.set_speed(1e9, run.now)
    assert player.speed == 100


def test_a_pause_holds_the_frame_and_going_on_loses_none() -> None:
    player, run = start()
    run.run(0.55)
    player.toggle_pause(run.now)
    held = frames(run)
    run.run(60)
    assert frames(run) == held
    player.toggle_pause(run.now)
    run.run(120)
    assert frames(run) == list(range(30))
    assert max(late for _, _, late in run.shown) == pytest.approx(0)
    assert run.skipped == 0


def test_steps_show_one_frame_either_way_and_stop_at_the_ends() -> None:
    player, run = start(5)
    run.run(0.25)
    assert player.position == 2
    for _ in range(4):
        player.step(1)
        run.run(run.now + 1)
    assert player.paused
    assert player.position == 4
    for expected in (3, 2, 1, 0, 0):
        player.step(-1)
        run.run(run.now + 1)
        assert player.position == expected
    assert frames(run)[-5:] == [4, 3, 2, 1, 0]
    assert not run.ended


def test_steps_pressed_faster_than_frames_come_are_all_done() -> None:
    player, run = start(cost=0.3)
    run.run(0.31)
    for _ in range(3):
        player.step(1)
    run.run(30)
    assert frames(run) == [0, 1, 2, 3]


def test_a_seek_shows_its_frame_next_and_goes_on_from_there() -> None:
    player, run = start()
    run.run(0.35)
    count = len(run.shown)
    player.seek_by(1.0)
    assert player.position == 13
    run.run(0.75)
    assert frames(run)[count:] == [13, 14, 15, 16]
    player.seek_by(-100)
    run.run(0.8)
    assert frames(run)[-1] == 0
    player.seek(10**6)
    run.run(1.0)
    assert frames(run)[-1] == 29


def test_seeks_pressed_faster_than_frames_come_add_up() -> None:
    player, run = start(100, cost=1.0)
    run.run(1.5)
    player.seek_by(2)
    player.seek_by(2)
    player.seek_by(-1)
    assert player.position == 30


def test_a_seek_waits_for_one_decode_and_the_one_under_way() -> None:
    player, run = start(1000, cost=0.05)
    run.run(1.02)
    player.seek(500)
    before = run.now
    run.run(3)
    at = next(time for time, frame, _ in run.shown if frame == 500)
    assert at - before <= 2 * 0.05 + 1e-9
    player.toggle_pause(run.now)
    run.run(4)
    before = run.now
    player.seek(700)
    run.run(5)
    at = next(time for time, frame, _ in run.shown if frame == 700)
    assert at - before == pytest.approx(0.05)  # nothing is under way while it is paused


def test_a_seek_while_paused_shows_one_frame() -> None:
    player, run = start()
    run.run(0.35)
    player.toggle_pause(run.now)
    player.seek(20)
    run.run(10)
    assert frames(run) == [0, 1, 2, 3, 20]
    player.toggle_pause(run.now)
    run.run(10.25)
    assert frames(run)[5:] == [21, 22]


def test_loop_points_loop_between_them_then_let_go() -> None:
    player, run = start()
    run.run(0.35)
    player.mark_loop_point()
    run.run(0.55)
    player.mark_loop_point()
    assert player.loop_points == (3, 6)
    run.run(1.15)
    assert frames(run) == [0, 1, 2, 3, 4, 5, 3, 4, 5, 3, 4, 5]
    player.mark_loop_point()
    run.run(100)
    assert frames(run)[12:] == list(range(6, 30))
    assert max(late for _, _, late in run.shown) == pytest.approx(0)


def test_the_loop_can_be_turned_on_at_the_last_moment() -> None:
    player, run = start(5)
    run.run(0.45)
    player.toggle_loop()
    run.run(0.65)
    player.toggle_loop()
    run.run(100)
    assert frames(run) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert run.ended


def test_switching_begins_the_other_video_at_its_own_rate_and_back() -> None:
    player, run = start(start=3)
    run.run(0.25)
    assert player.switch(player.neighbour(1))
    count = len(run.shown)
    run.run(0.5)
    assert frames(run)[count:] == [0, 1, 2, 3, 4]
    assert run.shown[count + 1][0] - run.shown[count][0] == pytest.approx(1 / 20)
    assert (player.neighbour(1), player.neighbour(-1)) == (5, 0)
    assert not player.switch(3)
    assert player.switch(0)
    run.run(0.55)
    assert frames(run)[-1] == 3


def test_switching_waits_for_one_decode_and_the_one_under_way() -> None:
    player, run = start(cost=0.04)
    run.run(0.5)
    player.switch(1)
    before = run.now
    count = len(run.shown)
    run.run(1.0)
    assert run.shown[count][0] - before <= 2 * 0.04 + 1e-9
