"""Interrupts are held back where they would be lost, and never forgotten; SIGTERM and SIGHUP are too."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pfnr_runtime.system.interrupts import hold_interrupts, interrupt_on_signals


def test_an_interrupt_inside_takes_effect_at_the_end() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with hold_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("went on")
        steps.append("not reached")
    assert steps == ["went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_not_lost_when_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt), hold_interrupts():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        raise OSError


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with hold_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of both signals as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_is_an_interrupt_and_a_repeated_one_the_same(number: signal.Signals) -> None:
    interrupt_on_signals()
    steps = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with hold_interrupts():
            os.kill(os.getpid(), number)
            steps.append("went on")
        steps.append("not reached")
    os.kill(os.getpid(), number)  # as a shell does after its terminal
    assert steps == ["went on"]


@pytest.mark.usefixtures("handlers")
def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt_on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
