"""A playback: the loop that shows decoded frames on time and executes keys."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pfnr_runtime.errors import PfnrError
from pfnr_runtime.playback.appearance_log import AppearanceLog
from pfnr_runtime.playback.decode_ahead import DecodeAhead, Failure, FrameSource, Ready
from pfnr_runtime.playback.keys import TABLE, help_lines
from pfnr_runtime.playback.player import End, Player, Show
from pfnr_runtime.playback.screen import Screen
from pfnr_runtime.playback.statistics import Appearance, Statistics
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import Colour

MESSAGE_SECONDS = 1.5


@dataclass(frozen=True)
class Options:
    """Settings of a playback.

    - title: of the window.
    - backend: for the statistics.
    - screenshots: their folder.
    - frame_times: log of frame times, if wanted.
    - show_statistics: on screen from the start.
    """

    title: str = "pfnr"
    backend: str = ""
    screenshots: Path = field(default_factory=Path)
    frame_times: AppearanceLog | None = None
    show_statistics: bool = False


class Playback:
    """Plays what `player` decides, decoded by `source`, on `screen`; `run` returns at the end or when stopped.

    clock: seconds, monotonic. The public methods without arguments are bound to keys.
    """

    def __init__(
        self,
        source: FrameSource,
        player: Player,
        screen: Screen,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.player, self.screen, self.options = player, screen, options or Options()
        self.statistics = Statistics()
        self.frame: Frame | None = None
        self._session = player.route.session
        self._decoding = DecodeAhead(source, player, screen.wake, clock=clock)
        self._clock = clock
        self._running = True
        self._show_statistics, self._show_help = self.options.show_statistics, False
        self._message, self._message_until = "", 0.0
        self._redraw = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="pfnr screenshot")
        self._writing: list[Future[str]] = []

    def run(self) -> None:
        """Play; raises what the decoder raises."""
        self._title()
        try:
            with self._decoding:
                while self._running:
                    pause = self._advance()
                    for key in self.screen.wait(pause):
                        self.press(key)
        finally:
            self._writer.shutdown(wait=True)

    def press(self, key: str) -> None:
        """Execute a key's binding; unbound keys do nothing."""
        if (binding := TABLE.get(key)) is not None:
            self.do(binding.act)

    def do(self, act: Callable[[Playback], str | None]) -> None:
        """Command the player from the playing thread; briefly shows the text that `act` returns."""
        with self._decoding.lock:
            message = act(self)
        self._decoding.notify()
        self._redraw = True
        if message:
            self._say(message)

    def toggle_pause(self) -> str:
        self.player.toggle_pause(self._clock())
        return "paused" if self.player.paused else "playing"

    def step(self, frames: int) -> None:
        self.player.step(frames)

    def seek_by(self, seconds: float) -> str:
        self.player.seek_by(seconds)
        return self._place()

    def seek_start(self) -> str:
        self.player.seek(0)
        return self._place()

    def scale_speed(self, factor: float) -> str:
        """Multiply the speed by `factor`; 0 returns to normal."""
        self.player.set_speed(self.player.speed * factor if factor else 1.0, self._clock())
        return f"speed {self.player.speed:.2f}"

    def mark_loop_point(self) -> str:
        self.player.mark_loop_point()
        a, b = self.player.loop_points
        return "no loop" if a is None else f"loop from frame {a}" + ("" if b is None else f" to {b - 1}")

    def toggle_loop(self) -> str:
        self.player.toggle_loop()
        return "loop" if self.player.loop else "no loop"

    def switch_by(self, offset: int) -> str:
        return self.switch(self.player.neighbour(offset))

    def switch(self, session: int) -> str:
        if session == self.player.route.session:
            return self._label(session)
        if not self.player.switch(session):
            known = ", ".join(map(str, sorted(self.player.videos)))
            return f"no session {session}; there are {known}"
        return self._label(session)

    def toggle_statistics(self) -> None:
        self._show_statistics = not self._show_statistics

    def toggle_help(self) -> None:
        self._show_help = not self._show_help

    def toggle_fullscreen(self) -> None:
        self.screen.toggle_fullscreen()

    def quit(self) -> None:
        self._running = False

    def screenshot(self) -> None:
        """Write the frame on screen as decoded, without text, under the first free name."""
        if self.frame is not None:
            video, folder = self.player.videos[self._session], self.options.screenshots
            writing = self._writer.submit(write_screenshot, folder, video.name, self.frame, video.colour)
            writing.add_done_callback(lambda _: self.screen.wake())
            self._writing.append(writing)

    def _advance(self) -> float | None:
        """Show what is due; returns the seconds until the next action, None if unknown."""
        if (failure := self._decoding.failure()) is not None:
            self._recover(failure)
        self._note_screenshots()
        now = self._clock()
        with self._decoding.lock:
            todo = self.player.present(now, self._decoding.steps())
            item = self._decoding.take(todo.step) if isinstance(todo, Show) else None
        if isinstance(todo, End):
            self._running = False
            return 0.0
        if isinstance(todo, Show):
            assert item is not None
            self._show(item, todo, now)
            return 0.0
        if self._message and now >= self._message_until:
            self._message, self._redraw = "", True
        if self._redraw:
            self._draw()
        until = todo.until
        if self._message and (until is None or self._message_until < until):
            until = self._message_until
        return None if until is None else max(0.0, until - self._clock())

    def _show(self, item: Ready, todo: Show, now: float) -> None:
        job, self.frame = item.job, item.frame
        if job.session != self._session:
            self._session = job.session
            self._title()
        self._draw()
        shown = self._clock()
        with self._decoding.lock:
            period = self.player.stay(todo.step)
            lateness = self.player.showed(todo.step, shown)
        self.statistics.present.add(shown - now)
        appearance = Appearance(shown, job.session, job.frame, job.skipped, todo.dropped, item.seconds, lateness)
        self.statistics.count(appearance, period)
        if self.options.frame_times is not None:
            self.options.frame_times.add(appearance)

    def _recover(self, failure: Failure) -> None:
        """Return to the session on screen if another could not be opened; otherwise raise."""
        if not isinstance(failure.error, PfnrError) or failure.job.session == self._session or self.frame is None:
            raise failure.error
        with self._decoding.lock:
            self.player.switch(self._session, self.frame.index)
        self._decoding.notify()
        self._say(str(failure.error))

    def _note_screenshots(self) -> None:
        while self._writing and self._writing[0].done():
            self._say(self._writing.pop(0).result())

    def _draw(self) -> None:
        self._redraw = False
        self.screen.show(self.frame, self._text())

    def _text(self) -> list[str]:
        lines = help_lines() if self._show_help else []
        if self._show_statistics:
            lines += self._statistics_lines()
        return [*lines, self._message] if self._message else lines

    def _statistics_lines(self) -> list[str]:
        player = self.player
        video = player.videos[self._session]
        rate = f"{self.statistics.rate:.1f} of {float(video.fps) * player.speed:.1f} frames per second"
        number = self.frame.index if self.frame is not None else 0
        return [
            f"{self._label(self._session)}: {video.width}×{video.height}, frame {number} of {video.frames}",
            f"{rate}, speed {player.speed:.2f}",
            *self.statistics.lines(),
            self.options.backend,
        ]

    def _place(self) -> str:
        player = self.player
        seconds, length = player.video.pts(player.position), player.video.duration
        return f"{float(seconds):.2f} s of {float(length):.2f}, frame {player.position}"

    def _label(self, session: int) -> str:
        return f"session {session}, {self.player.videos[session].name}"

    def _title(self) -> None:
        self.screen.set_title(f"{self.player.videos[self._session].name} - {self.options.title}")

    def _say(self, message: str) -> None:
        self._message, self._message_until = message, self._clock() + MESSAGE_SECONDS
        self._redraw = True


def write_screenshot(folder: Path, name: str, frame: Frame, colour: Colour | None = None) -> str:
    """Write `frame` as NAME-00017.png, or with -1, -2, ... where that exists; returns the message to show.

    colour: of the video, as `encode_image` takes it.
    """
    from pfnr_runtime.sinks.images import FORMATS, encode_image

    stem = re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "frame"
    path = folder / f"{stem}-{frame.index:05d}.png"
    count = 0
    while path.exists():
        count += 1
        path = folder / f"{stem}-{frame.index:05d}-{count}.png"
    try:
        write_atomically(path, encode_image(frame.data, FORMATS[".png"], colour))
    except OSError as error:
        return f"no screenshot: {describe_os_error(error)}"
    return f"wrote {path}"
