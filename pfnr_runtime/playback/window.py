"""A window through SDL (pygame-ce), imported only when one is opened."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pfnr_runtime.errors import BackendError
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord

if TYPE_CHECKING:
    import pygame

# Without a display SDL silently draws into memory; a user who asked for a window must be told.
INVISIBLE = ("offscreen", "dummy")
ADVICE = (
    "log in to a desktop or set DISPLAY; a console with KMS needs SDL_VIDEODRIVER=kmsdrm; without any display "
    "play to null: or to a file, or set SDL_VIDEODRIVER=dummy"
)
SLEEP_SECONDS = 0.002  # SDL waits in whole milliseconds; sleep covers the rest
# Bounds the delay if SDL loses a wake-up from another thread.
EVENT_WAIT_SECONDS = 0.1
BACKGROUND = (0, 0, 0)


class Window:
    """A resizable window on display number `display`; frames keep their aspect, and at their native size every
    sample.

    A BackendError (exit code 4) says why there is none.
    """

    def __init__(self, video: VideoRecord, display: int = 0) -> None:
        self._pygame = _start(display)
        self._aspect = video.sample_aspect
        self._text_cache: tuple[list[str], Any] = ([], None)
        self._last: tuple[Frame | None, Sequence[str]] | None = None
        self._waking = self._pygame.event.custom_type()
        self._full, self._place = False, (0, 0)
        self._display = display
        self._size = _shape(video.width, video.height, self._aspect)
        try:
            self._pygame.display.set_mode(self._size, self._pygame.RESIZABLE, display=display)
        except self._pygame.error as error:
            self.close()
            raise BackendError(f"no window of {self._size[0]}×{self._size[1]}: {error}; {ADVICE}") from None
        self._pygame.key.set_repeat(400, 40)
        self._names = _key_names(self._pygame)

    def wait(self, seconds: float | None) -> list[str]:
        pygame = self._pygame
        if seconds is None or seconds > EVENT_WAIT_SECONDS:
            seconds = EVENT_WAIT_SECONDS
        if seconds > SLEEP_SECONDS:
            events = [pygame.event.wait(int((seconds - SLEEP_SECONDS / 2) * 1000))]
        else:
            time.sleep(max(seconds, 0.0))
            events = []
        events += pygame.event.get()
        # A window that was covered or has another size shows nothing until it is drawn again.
        stale = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED)
        if self._last is not None and any(event.type in stale for event in events):
            self.show(*self._last)
        return [key for event in events if (key := self._key(event))]

    def wake(self) -> None:
        pygame = self._pygame
        if pygame.display.get_init():
            pygame.event.post(pygame.event.Event(self._waking))

    def show(self, frame: Frame | None, text: Sequence[str]) -> None:
        pygame = self._pygame
        self._last = frame, text
        screen = pygame.display.get_surface()
        screen.fill(BACKGROUND)
        if frame is not None:
            height, width = frame.data.shape[:2]
            picture = pygame.image.frombuffer(frame.data, (width, height), "RGB")
            size = fit(_shape(width, height, self._aspect), screen.get_size())
            if size != (width, height):
                picture = pygame.transform.smoothscale(picture, size)
            screen.blit(picture, ((screen.get_width() - size[0]) // 2, (screen.get_height() - size[1]) // 2))
        if text:
            screen.blit(self._rendered(list(text), screen.get_size()), (0, 0))
        pygame.display.flip()

    def set_title(self, title: str) -> None:
        self._pygame.display.set_caption(title)

    def toggle_fullscreen(self) -> None:
        pygame = self._pygame
        self._full = not self._full
        # A window manager positions a full-screen window, but a kiosk may have none.
        alone = pygame.display.get_num_displays() == 1
        if self._full:
            self._place = pygame.display.get_window_position()
            if alone:
                pygame.display.set_window_position((0, 0))
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN, display=self._display)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # "forcibly resized"
                # Without a window manager, X11 changes the size only of a window that is no longer full-screen.
                for _ in range(2):
                    pygame.display.set_mode(self._size, pygame.RESIZABLE, display=self._display)
            if alone:
                pygame.display.set_window_position(self._place)

    def close(self) -> None:
        self._pygame.quit()

    def _key(self, event: pygame.event.Event) -> str:
        """The name of a key in the key table; empty for anything else."""
        pygame = self._pygame
        if event.type == pygame.QUIT:
            return "q"
        if event.type != pygame.KEYDOWN:
            return ""
        shift = "shift+" if event.mod & pygame.KMOD_SHIFT else ""
        if event.mod & (pygame.KMOD_CTRL | pygame.KMOD_ALT | pygame.KMOD_META):
            return ""
        name = self._names.get(event.key, "")
        if name:
            return shift + name if name in ("LEFT", "RIGHT", "UP", "DOWN") else name
        return str(event.unicode)

    def _rendered(self, text: list[str], size: tuple[int, int]) -> Any:
        """Lines of text on a dark background, in columns where the window is low."""
        pygame = self._pygame
        if self._text_cache[0] != [*text, str(size)]:
            points = max(9, min(size[1] // 28, 20))
            font = pygame.font.Font(None, round(points * 1.4))
            lines = [font.render(line, True, (255, 255, 255)) for line in text]
            height = font.get_linesize()
            rows = max(1, min(len(lines), (size[1] - 8) // height))
            columns = [lines[first : first + rows] for first in range(0, len(lines), rows)]
            widths = [max(line.get_width() for line in column) + 12 for column in columns]
            panel = pygame.Surface((sum(widths), height * rows + 8))
            for i, column in enumerate(columns):
                for row, line in enumerate(column):
                    panel.blit(line, (6 + sum(widths[:i]), 4 + row * height))
            panel.set_alpha(200)
            self._text_cache = ([*text, str(size)], panel)
        return self._text_cache[1]


def list_displays() -> tuple[str, list[tuple[int, int]]]:
    """SDL's driver, and the width and height of every display. A BackendError says why there is none."""
    pygame = _start(0)
    try:
        return pygame.display.get_driver(), pygame.display.get_desktop_sizes()
    finally:
        pygame.quit()


def fit(shape: tuple[int, int], space: tuple[int, int]) -> tuple[int, int]:
    """The largest size with the aspect of `shape` (width, height) that fits in `space`; never 0."""
    scale = min(Fraction(space[0], shape[0]), Fraction(space[1], shape[1]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _shape(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Size of a frame on a display with square samples: enlarged, never reduced, so that nothing is lost."""
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def _start(display: int) -> Any:
    """pygame with its display and fonts ready; a BackendError where there is no display."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    # Frames lie in main memory. SDL would show them through OpenGL, which takes ten times as long where that is
    # computed on the processor. Where a display has no other way, it does so all the same.
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    try:
        import pygame
    except ImportError as error:
        raise BackendError(
            f"a window needs pygame-ce ({error}); pip install 'pfnr[play]', or play to null:"
        ) from None
    chosen = os.environ.get("SDL_VIDEODRIVER")
    only = _only_driver() if chosen is None else None
    if only is not None:
        os.environ["SDL_VIDEODRIVER"] = only
    try:
        pygame.display.init()
        driver, count = pygame.display.get_driver(), pygame.display.get_num_displays()
    except pygame.error as error:
        reason = "no DISPLAY or WAYLAND_DISPLAY, and no console to draw on" if only == "kmsdrm" else str(error)
        raise BackendError(f"no display: {reason}; {ADVICE}") from None
    finally:
        if only is not None:
            del os.environ["SDL_VIDEODRIVER"]
    if chosen is None and driver in INVISIBLE:
        pygame.quit()
        raise BackendError(f"no display: SDL found no visible one ({driver}); {ADVICE}")
    if not 0 <= display < count:
        pygame.quit()
        raise BackendError(f"no display {display}: there {'is' if count == 1 else 'are'} {count}, numbered from 0")
    pygame.font.init()
    return pygame


def _only_driver() -> str | None:
    """The only driver that can work on this Linux system, if there is just one.

    Requested by name, it fails with one line; otherwise SDL tries others, and Wayland's library prints errors.
    """
    if sys.platform != "linux" or os.environ.get("WAYLAND_DISPLAY"):
        return None
    return "x11" if os.environ.get("DISPLAY") else "kmsdrm"


def _key_names(pygame: Any) -> dict[int, str]:
    """Names of the keys that type no printable character."""
    return {
        pygame.K_SPACE: "SPACE",
        pygame.K_BACKSPACE: "BS",
        pygame.K_HOME: "HOME",
        pygame.K_LEFT: "LEFT",
        pygame.K_RIGHT: "RIGHT",
        pygame.K_UP: "UP",
        pygame.K_DOWN: "DOWN",
        pygame.K_ESCAPE: "ESC",
    }
