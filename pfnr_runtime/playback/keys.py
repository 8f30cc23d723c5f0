"""The keys, as in mpv, in one table: what the player does and what `?` and the docs say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from typing import Any


@dataclass(frozen=True)
class Binding:
    """Keys with one meaning.

    act: calls the method of `pfnr_runtime.playback.playback.Playback` that does it; a text that it returns is
    shown for a moment. help: for people.

    A key is the character it types, or one of SPACE, BS, HOME, LEFT, RIGHT, UP, DOWN, ESC,
    arrows with shift+ before them.
    """

    keys: tuple[str, ...]
    act: Callable[[Any], str | None]
    help: str


def _session_key(digit: str) -> Binding:
    return Binding((digit,), methodcaller("switch", int(digit)), "")


BINDINGS = (
    Binding(("SPACE",), methodcaller("toggle_pause"), "pause, go on"),
    Binding((".",), methodcaller("step", 1), "pause, next frame"),
    Binding((",",), methodcaller("step", -1), "pause, frame before"),
    Binding(("RIGHT",), methodcaller("seek_by", 5), "5 seconds on"),
    Binding(("LEFT",), methodcaller("seek_by", -5), "5 seconds back"),
    Binding(("shift+RIGHT",), methodcaller("seek_by", 1), "1 second on"),
    Binding(("shift+LEFT",), methodcaller("seek_by", -1), "1 second back"),
    Binding(("UP",), methodcaller("seek_by", 60), "1 minute on"),
    Binding(("DOWN",), methodcaller("seek_by", -60), "1 minute back"),
    Binding(("HOME",), methodcaller("seek_start"), "to the beginning"),
    Binding(("[",), methodcaller("scale_speed", 1 / 1.1), "slower"),
    Binding(("]",), methodcaller("scale_speed", 1.1), "faster"),
    Binding(("{",), methodcaller("scale_speed", 0.5), "half the speed"),
    Binding(("}",), methodcaller("scale_speed", 2), "twice the speed"),
    Binding(("BS",), methodcaller("scale_speed", 0), "normal speed"),
    Binding(("l",), methodcaller("mark_loop_point"), "loop from here, to here, no more"),
    Binding(("L",), methodcaller("toggle_loop"), "loop the whole video"),
    Binding(("n", ">"), methodcaller("switch_by", 1), "next session"),
    Binding(("p", "<"), methodcaller("switch_by", -1), "session before"),
    Binding(("i",), methodcaller("toggle_statistics"), "statistics"),
    Binding(("s",), methodcaller("screenshot"), "write this frame as PNG"),
    Binding(("f",), methodcaller("toggle_fullscreen"), "full screen"),
    Binding(("?",), methodcaller("toggle_help"), "these keys"),
    Binding(("q", "ESC"), methodcaller("quit"), "quit"),
)
DIGITS = tuple(_session_key(digit) for digit in "0123456789")
TABLE = {key: binding for binding in (*BINDINGS, *DIGITS) for key in binding.keys}


def help_lines() -> list[str]:
    """One line for each meaning, for the screen."""
    lines = [f"{' '.join(binding.keys)}  {binding.help}" for binding in BINDINGS]
    return [*lines, "0-9  session of this number"]
