"""What a playback shows its frames on: a window, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from pfnr_runtime.video.frames import Frame


class Screen(Protocol):
    """A place for frames, with keys.

    wait: up to `seconds` (None: without limit), less when a key or `wake` comes; returns the keys since the last
    call, as `keys.TABLE` names them. wake: callable from any thread. show: a frame (None: none yet) under lines of
    text.
    """

    def wait(self, seconds: float | None) -> list[str]: ...
    def wake(self) -> None: ...
    def show(self, frame: Frame | None, text: Sequence[str]) -> None: ...
    def set_title(self, title: str) -> None: ...
    def toggle_fullscreen(self) -> None: ...
    def close(self) -> None: ...


class NoScreen:
    """null: keeps to the clock like a window, but shows nothing and has no keys."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, seconds: float | None) -> list[str]:
        self._woken.wait(seconds)
        self._woken.clear()
        return []

    def wake(self) -> None:
        self._woken.set()

    def show(self, frame: Frame | None, text: Sequence[str]) -> None:
        pass

    def set_title(self, title: str) -> None:
        pass

    def toggle_fullscreen(self) -> None:
        pass

    def close(self) -> None:
        pass
