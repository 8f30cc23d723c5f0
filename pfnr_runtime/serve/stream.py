"""One viewer's stream: frames on time as parts of a multipart body; slow viewers get fewer of them.

The body is multipart/x-mixed-replace, which browsers show in an <img>: each part is an image file with
Content-Type, Content-Length and a few X- headers. The delimiter follows each part at once: browsers show a part
only when they have seen the next delimiter.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.playback.cost import RecentCost
from pfnr_runtime.playback.player import End, Job, Player, Show, Wait
from pfnr_runtime.playback.statistics import Appearance, Statistics
from pfnr_runtime.serve.catalogue import ServedSession
from pfnr_runtime.serve.shared_frames import MEDIA_TYPES, EncodedPicture, SharedFrames

BOUNDARY = "frame"
MEDIA_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
AHEAD = 3  # frames requested ahead of time: one to send, one to encode, one to decode
STREAM_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class StreamSettings:
    """What a viewer asked for.

    - start: first frame.
    - kind: of image file.
    - speed, loop: as of `Player`.
    """

    start: int = 0
    speed: float = 1.0
    loop: bool = False
    kind: str = "jpg"


@dataclass
class _Ahead:
    """A frame on its way. seconds: from the request until it was ready."""

    job: Job
    task: asyncio.Task[tuple[EncodedPicture, float]]


class FrameStream:
    """Frames of `session` on time, skipping those that would be late; `parts` is the body.

    stopping: ends the stream. clock: seconds, monotonic. `Player` decides the timing: a part is sent when its
    frame is due, and frames that fall due while the viewer's connection is full are lost.
    """

    def __init__(
        self,
        frames: SharedFrames,
        session: ServedSession,
        settings: StreamSettings,
        stopping: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session, self.settings = session, settings
        self.statistics = Statistics()
        self._frames, self._stopping, self._clock = frames, stopping, clock
        video = session.contract.video
        self._player = Player({session.number: video}, session.number, speed=settings.speed, loop=settings.loop)
        self._player.seek(settings.start)
        self._cost = RecentCost()
        self._ahead: deque[_Ahead] = deque()

    async def parts(self) -> AsyncIterator[bytes]:
        """The body, in pieces; raises what the decoder raises."""
        yield f"--{BOUNDARY}\r\n".encode()
        try:
            while not self._stopping.is_set():
                self._ask()
                ready = self._ready()
                todo = self._player.present(self._clock(), [item.job.step for item in ready])
                if isinstance(todo, End):
                    return
                if isinstance(todo, Show):
                    yield self._show(todo, ready)
                else:
                    await self._wait(todo, len(ready))
        finally:
            for item in self._ahead:
                item.task.cancel()

    def to_json(self) -> dict[str, Any]:
        """What is being watched and how well it plays, for the statistics."""
        counts = self.statistics.to_json()
        names = ("shown", "skipped", "dropped", "late", "lost_percent")
        return {
            "session": self.session.number,
            "format": self.settings.kind,
            "speed": self.settings.speed,
            "loop": self.settings.loop,
            "fps": self.statistics.rate,
            **{name: counts[name] for name in names},
        }

    def _ask(self) -> None:
        while len(self._ahead) < AHEAD:
            job = self._player.take_job(self._clock(), self._cost.seconds)
            if job is None:
                return
            self._ahead.append(_Ahead(job, asyncio.create_task(self._fetch(job))))

    async def _fetch(self, job: Job) -> tuple[EncodedPicture, float]:
        start = self._clock()
        picture = await self._frames.picture(job.session, job.frame, self.settings.kind)
        return picture, self._clock() - start

    def _ready(self) -> list[_Ahead]:
        """The frames that are ready, up to the first that is not."""
        ready = []
        for item in self._ahead:
            if not item.task.done():
                break
            ready.append(item)
        return ready

    def _show(self, todo: Show, ready: list[_Ahead]) -> bytes:
        """The part of the frame that is due; it and all earlier frames leave the queue."""
        item = next(item for item in ready if item.job.step == todo.step)
        while self._ahead.popleft() is not item:
            pass
        picture, seconds = item.task.result()
        self._cost.add(seconds)
        now = self._clock()
        period, job = self._player.stay(todo.step), item.job
        lateness = self._player.showed(todo.step, now)
        appearance = Appearance(
            now, job.session, job.frame, job.skipped, todo.dropped, picture.decode_seconds, lateness
        )
        self.statistics.count(appearance, period)
        last = self._player.route.last_step == todo.step
        return self._part(appearance, picture, last)

    def _part(self, shown: Appearance, picture: EncodedPicture, last: bool) -> bytes:
        lines = [
            f"Content-Type: {MEDIA_TYPES[self.settings.kind]}",
            f"Content-Length: {len(picture.data)}",
            f"X-Session: {shown.session}",
            f"X-Frame: {shown.frame}",
            f"X-Skipped: {self.statistics.skipped}",
            f"X-Dropped: {self.statistics.dropped}",
            f"X-Decode-Ms: {1000 * picture.decode_seconds:.3f}",
        ]
        head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        return head.encode() + picture.data + f"\r\n--{BOUNDARY}{'--' if last else ''}\r\n".encode()

    async def _wait(self, todo: Wait, ready: int) -> None:
        """Wait until the next frame is ready or due, or the stream must stop."""
        seconds = STREAM_WAIT_SECONDS
        if todo.until is not None:
            seconds = min(seconds, max(todo.until - self._clock(), 0.0))
        coming = [item.task for item in list(self._ahead)[ready : ready + 1]]
        if coming:
            await asyncio.wait(coming, timeout=seconds)
        else:
            await asyncio.sleep(seconds)
