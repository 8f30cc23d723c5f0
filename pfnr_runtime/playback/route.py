"""Which frame of which video each step of a playback shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """Frames in order from `first`, shown from step `base` on; at `stop` it ends or goes on at `start`.

    serial: counts routes, to recognise frames decoded for an older one. session: of the library.
    """

    serial: int
    session: int
    first: int
    base: int
    start: int
    stop: int
    loop: bool

    def frame(self, step: int) -> int | None:
        """Frame number at `step` ≥ base, or None after the end."""
        number = self.first + step - self.base
        if number < self.stop:
            return number
        if not self.loop:
            return None
        return self.start + (number - self.start) % (self.stop - self.start)

    @property
    def last_step(self) -> int | None:
        """The step of the last frame, or None where there is none."""
        return None if self.loop else self.base + self.stop - 1 - self.first
