"""Ctrl-C is held back where it would be lost, and never forgotten."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pfnr_runtime.system.interrupts import hold_interrupts


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
