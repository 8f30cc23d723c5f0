"""The decode thread: never more frames ahead than its queue holds, nothing stale shown, errors handed over."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest

from pfnr_runtime.errors import ArtifactError, BackendError, CancelledError
from pfnr_runtime.playback.decode_ahead import DecodeAhead
from pfnr_runtime.playback.playback import Playback
from pfnr_runtime.playback.player import Player
from pfnr_runtime.playback.screen import NoScreen
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


def video(name: str = "test", frames: int = 50) -> VideoRecord:
    return VideoRecord(name, frames, 4, 2, Fraction(25))


class Source:
    """Grey frames whose samples are their number; waits for `gate` before each."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.asked: list[tuple[int, int]] = []
        self.broken: dict[int, Exception] = {}
        self.stoppable, self.cancelled, self.cancels = False, threading.Event(), 0

    def cancel(self) -> None:
        self.cancels += 1
        if self.stoppable:
            self.cancelled.set()
            self.gate.release()

    def frame(self, session: int, index: int) -> Frame:
        self.asked.append((session, index))
        assert self.gate.acquire(timeout=30)
        if self.cancelled.is_set():
            self.cancelled.clear()
            raise CancelledError(f"frame {index}")
        if session in self.broken:
            raise self.broken[session]
        return Frame(np.full((2, 4, 3), index, np.uint8), index, index / 25, 0.04)


class Bell:
    """Counts what the thread reports."""

    def __init__(self) -> None:
        self.heard = threading.Semaphore(0)

    def __call__(self) -> None:
        self.heard.release()

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.heard.acquire(timeout=30)


def test_it_decodes_ahead_up_to_its_capacity_and_no_further() -> None:
    source, bell = Source(), Bell()
    player = Player({0: video()}, 0)
    with DecodeAhead(source, player, bell, capacity=3) as thread:
        source.gate.release(10)
        bell.wait(3)
        with thread.lock:
            assert thread.steps() == [0, 1, 2]
            assert len(source.asked) == 3
            taken = thread.take(1)
            assert (taken.frame.data == 1).all()
            assert thread.steps() == [2]
        bell.wait(2)
        with thread.lock:
            assert thread.steps() == [2, 3, 4]
        assert not bell.heard.acquire(timeout=0.1)


def test_frames_of_a_place_that_was_left_are_not_shown() -> None:
    source, bell = Source(), Bell()
    player = Player({0: video()}, 0)
    with DecodeAhead(source, player, bell, capacity=2) as thread:
        source.gate.release(1)
        bell.wait()
        with thread.lock:  # frame 0 is ready, frame 1 is under way
            player.seek(40)
            thread.notify()
            assert thread.steps() == []
        source.gate.release(10)
        bell.wait(3)
        with thread.lock:
            first = thread.steps()[0]
            assert thread.take(first).frame.index == 40
        assert thread.stale == 2


def test_a_frame_of_a_place_that_was_left_is_given_up_half_way() -> None:
    source, bell = Source(), Bell()
    source.stoppable = True
    player = Player({0: video()}, 0)
    with DecodeAhead(source, player, bell, capacity=2) as thread:
        source.gate.release(1)
        bell.wait()
        with thread.lock:  # frame 0 is ready, frame 1 is under way
            thread.notify()
            assert source.cancels == 0, "nothing was left yet"
            player.seek(40)
            thread.notify()
        bell.wait()
        source.gate.release(1)
        bell.wait()
        assert thread.failure() is None
        with thread.lock:
            assert thread.take(thread.steps()[0]).frame.index == 40
        assert [index for _, index in source.asked[:3]] == [0, 1, 40]
    assert source.cancels == 2, "at the seek, and at the end"


def test_a_decode_that_fails_is_handed_over_once_and_the_thread_rests() -> None:
    source, bell = Source(), Bell()
    source.broken[0] = BackendError("out of memory")
    with DecodeAhead(source, Player({0: video()}, 0), bell) as thread:
        source.gate.release(10)
        bell.wait()
        failure = thread.failure()
        assert failure is not None
        assert str(failure.error) == "out of memory"
        assert thread.failure() is None
        assert source.asked == [(0, 0)]


def test_a_playback_raises_what_the_decoder_raises() -> None:
    source = Source()
    source.broken[0] = BackendError("out of memory")
    source.gate.release(10)
    with pytest.raises(BackendError, match="out of memory"):
        Playback(source, Player({0: video()}, 0), NoScreen()).run()
    assert not [t for t in threading.enumerate() if t.name.startswith("pfnr")]


def test_a_session_that_cannot_be_opened_leaves_the_one_on_screen() -> None:
    source = Source()
    source.broken[1] = ArtifactError("session 1 is damaged")
    source.gate.release(1000)

    class Keys(NoScreen):
        """Presses n at the third frame and watches what is said."""

        shown = 0
        texts: list[str] = []  # noqa: RUF012

        def show(self, frame: Frame | None, text: object) -> None:
            self.shown += 1
            self.texts += list(text)  # type: ignore[call-overload]

        def wait(self, seconds: float | None) -> list[str]:
            super().wait(seconds)
            if self.shown == 3:
                self.shown += 1
                return ["n"]
            return []

    keys = Keys()
    player = Player({0: video("a", 20), 1: video("b")}, 0, speed=20)
    playback = Playback(source, player, keys)
    playback.run()
    assert "session 1 is damaged" in keys.texts
    assert player.route.session == 0
    assert playback.frame is not None
    assert playback.frame.index == 19
    assert playback.statistics.shown >= 4
