"""The key table, as in mpv: what each key does, and the help that `?` and the docs show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from typing import Any


@dataclass(frozen=True)
class Binding:
    """Keys with one meaning.

    act: calls the method of `pfnr_runtime.playback.playback.Playback` to call; a text that it returns is shown
    briefly. help: shown by `?`.

    A key is the character it types, or one of SPACE, BS, HOME, LEFT, RIGHT, UP, DOWN, ESC,
    arrows with shift+ before them.
    """

    keys: tuple[str, ...]
    act: Callable[[Any], str | None]
    help: str


def _session_key(digit: str) -> Binding:
    return Binding((digit,), methodcaller("switch", int(digit)), "")


BINDINGS = (
    Binding(("SPACE",), methodcaller("toggle_pause"), "pause, resume"),
    Binding((".",), methodcaller("step", 1), "pause, next frame"),
    Binding((",",), methodcaller("step", -1), "pause, previous frame"),
    Binding(("RIGHT",), methodcaller("seek_by", 5), "5 seconds forward"),
    Binding(("LEFT",), methodcaller("seek_by", -5), "5 seconds back"),
    Binding(("shift+RIGHT",), methodcaller("seek_by", 1), "1 second forward"),
    Binding(("shift+LEFT",), methodcaller("seek_by", -1), "1 second back"),
    Binding(("UP",), methodcaller("seek_by", 60), "1 minute forward"),
    Binding(("DOWN",), methodcaller("seek_by", -60), "1 minute back"),
    Binding(("HOME",), methodcaller("seek_start"), "to the beginning"),
    Binding(("[",), methodcaller("scale_speed", 1 / 1.1), "slower"),
    Binding(("]",), methodcaller("scale_speed", 1.1), "faster"),
    Binding(("{",), methodcaller("scale_speed", 0.5), "half the speed"),
    Binding(("}",), methodcaller("scale_speed", 2), "twice the speed"),
    Binding(("BS",), methodcaller("scale_speed", 0), "normal speed"),
    Binding(("l",), methodcaller("mark_loop_point"), "loop from here, to here, off"),
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
    """One line per binding, for the screen."""
    lines = [f"{' '.join(binding.keys)}  {binding.help}" for binding in BINDINGS]
    return [*lines, "0-9  switch to that session"]
