"""The keys, as in mpv, in one table: what the player does and what `?` and the docs say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfnr_runtime.playback.playback import Playback


@dataclass(frozen=True)
class Binding:
    """Keys with one meaning. act: does it; a text that it returns is shown for a moment. help: for people.

    A key is the character it types, or one of SPACE, BS, HOME, LEFT, RIGHT, UP, DOWN, ESC,
    arrows with shift+ before them.
    """

    keys: tuple[str, ...]
    act: Callable[[Playback], str | None]
    help: str


def _session_key(digit: str) -> Binding:
    return Binding((digit,), lambda p: p.switch(int(digit)), "")


BINDINGS = (
    Binding(("SPACE",), lambda p: p.toggle_pause(), "pause, go on"),
    Binding((".",), lambda p: p.step(1), "pause, next frame"),
    Binding((",",), lambda p: p.step(-1), "pause, frame before"),
    Binding(("RIGHT",), lambda p: p.seek_by(5), "5 seconds on"),
    Binding(("LEFT",), lambda p: p.seek_by(-5), "5 seconds back"),
    Binding(("shift+RIGHT",), lambda p: p.seek_by(1), "1 second on"),
    Binding(("shift+LEFT",), lambda p: p.seek_by(-1), "1 second back"),
    Binding(("UP",), lambda p: p.seek_by(60), "1 minute on"),
    Binding(("DOWN",), lambda p: p.seek_by(-60), "1 minute back"),
    Binding(("HOME",), lambda p: p.seek_start(), "to the beginning"),
    Binding(("[",), lambda p: p.scale_speed(1 / 1.1), "slower"),
    Binding(("]",), lambda p: p.scale_speed(1.1), "faster"),
    Binding(("{",), lambda p: p.scale_speed(0.5), "half the speed"),
    Binding(("}",), lambda p: p.scale_speed(2), "twice the speed"),
    Binding(("BS",), lambda p: p.scale_speed(0), "normal speed"),
    Binding(("l",), lambda p: p.mark_loop_point(), "loop from here, to here, no more"),
    Binding(("L",), lambda p: p.toggle_loop(), "loop the whole video"),
    Binding(("n", ">"), lambda p: p.switch_by(1), "next session"),
    Binding(("p", "<"), lambda p: p.switch_by(-1), "session before"),
    Binding(("i",), lambda p: p.toggle_statistics(), "statistics"),
    Binding(("s",), lambda p: p.screenshot(), "write this frame as PNG"),
    Binding(("f",), lambda p: p.toggle_fullscreen(), "full screen"),
    Binding(("?",), lambda p: p.toggle_help(), "these keys"),
    Binding(("q", "ESC"), lambda p: p.quit(), "quit"),
)
DIGITS = tuple(_session_key(digit) for digit in "0123456789")
TABLE = {key: binding for binding in (*BINDINGS, *DIGITS) for key in binding.keys}


def help_lines() -> list[str]:
    """One line for each meaning, for the screen."""
    lines = [f"{' '.join(binding.keys)}  {binding.help}" for binding in BINDINGS]
    return [*lines, "0-9  session of this number"]
