"""The order in which the one decode thread serves its viewers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pfnr_runtime.serve.decode_queue import DecodeQueue
from pfnr_runtime.video.frames import Frame


class Gated:
    """A decoder that waits to be let go, and a clock to set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[tuple[int, int]] = []
        self.begun, self.gate = threading.Event(), threading.Event()

    def decode(self, session: int, index: int) -> Frame:
        """A frame, once the gate is open."""
        self.begun.set()
        assert self.gate.wait(30)
        self.order.append((session, index))
        if index == 13:
            raise ValueError("no such frame")
        return Frame(np.zeros((1, 1, 3), np.uint8), index, 0.0, 1.0)


@pytest.fixture
def gated() -> Gated:
    return Gated()


@pytest.fixture
def thread(gated: Gated) -> Iterator[DecodeQueue]:
    with DecodeQueue(gated.decode, clock=lambda: gated.now) as running:
        yield running
        gated.gate.set()


def test_what_waits_for_the_session_at_hand_goes_first(gated: Gated, thread: DecodeQueue) -> None:
    thread.submit(0, 0)
    gated.begun.wait(30)
    waiting = [thread.submit(session, index) for session, index in ((1, 1), (0, 2), (1, 3), (0, 4))]
    gated.gate.set()
    for future in waiting:
        future.result(30)
    assert gated.order == [(0, 0), (0, 2), (0, 4), (1, 1), (1, 3)]


def test_but_nobody_waits_for_long(gated: Gated, thread: DecodeQueue) -> None:
    thread.submit(0, 0)
    gated.begun.wait(30)
    waiting = [thread.submit(1, 1)]
    gated.now = 0.25
    waiting += [thread.submit(0, 2), thread.submit(1, 3)]
    gated.gate.set()
    for future in waiting:
        future.result(30)
    assert gated.order == [(0, 0), (1, 1), (1, 3), (0, 2)]


def test_what_is_cancelled_is_not_decoded_and_errors_are_their_callers(gated: Gated, thread: DecodeQueue) -> None:
    thread.submit(0, 0)
    gated.begun.wait(30)
    dropped, failing, last = thread.submit(0, 1), thread.submit(0, 13), thread.submit(0, 2)
    assert dropped.cancel()
    assert thread.to_json()["waiting"] == 2
    gated.gate.set()
    with pytest.raises(ValueError, match="no such frame"):
        failing.result(30)
    assert last.result(30).frame.index == 2
    assert (0, 1) not in gated.order
    found = thread.to_json()
    assert (found["decoded"], found["failed"], found["waiting"]) == (2, 1, 0)


def test_a_decode_that_never_ends_is_not_healthy(gated: Gated, thread: DecodeQueue) -> None:
    assert thread.healthy
    thread.submit(0, 0)
    gated.begun.wait(30)
    assert thread.healthy
    gated.now = 61
    assert not thread.healthy
    gated.gate.set()
    thread.submit(0, 1).result(30)
    assert thread.healthy


def test_closing_cancels_what_waits(gated: Gated) -> None:
    with DecodeQueue(gated.decode) as thread:
        running = thread.submit(0, 0)
        gated.begun.wait(30)
        waiting = thread.submit(0, 1)

        def open_once_closing() -> None:
            while thread._open:
                time.sleep(0.001)
            gated.gate.set()

        threading.Thread(target=open_once_closing, daemon=True).start()
    assert running.done()
    assert waiting.cancelled()
    assert not thread.healthy
    with pytest.raises(RuntimeError, match="closed"):
        thread.submit(0, 2)
