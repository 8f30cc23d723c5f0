"""Which frames of a video are damaged, from signs seen while it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Damage:
    """Frames `first` to `end` - 1 are not as encoded; where `end` is `first`, frames before it are missing.

    end: None while unknown. reason: FFmpeg's words. seconds: time of the first, None if unknown.
    """

    first: int
    end: int | None
    reason: str
    seconds: Fraction | None

    def touches(self, start: int, stop: int | None) -> bool:
        """Whether a clip of frames `start` to `stop` - 1 (None: to the end of the file) is affected."""
        below = stop is None or self.first < stop
        if self.end == self.first:
            return below and (start < self.first or start == self.first == 0)
        return below and (self.end is None or self.end > start)

    def covers(self, frame: int) -> bool:
        """Whether frame `frame` itself is damaged."""
        return self.first <= frame and (self.end is None or frame < self.end)

    def note(self) -> str:
        """What a clip that tolerates damage shows instead."""
        instead = (
            "what is missing is left out" if self.end == self.first else "whole frames are held in their place"
        )
        return f"damaged {self.place()} ({self.reason}): {instead}"

    def place(self) -> str:
        """Such as 'at frame 51 (2.04 s)', 'from frame 4 (0.16 s) to 9' or 'before frame 51 (2.04 s)'."""
        when = "" if self.seconds is None else f" ({float(self.seconds):.2f} s)"
        if self.end == self.first:
            return f"before frame {self.first}{when}"
        if self.end == self.first + 1:
            return f"at frame {self.first}{when}"
        return f"from frame {self.first}{when}" + ("" if self.end is None else f" to {self.end - 1}")


class DamageTracker:
    """Maps damaged packets, in decoding order, to damaged frames, in display order.

    A damaged packet affects its own frame and every later one up to the next key frame. Call `packet` for every
    packet, `sign` where one shows damage, `frame` for every frame, `close` at the end.
    """

    def __init__(self) -> None:
        self.found: list[Damage] = []
        self._open: Damage | None = None
        self._reason = ""
        self._between = False
        self._earliest: int | None = None
        self._latest: int | None = None
        self._last_pts: int | None = None
        self.ordered = True

    def sign(self, reason: str, pts: int | None, between: bool = False) -> None:
        """A packet of time `pts` (None if unknown) is damaged.

        between: the damage lies before it, and perhaps in the previous packet.
        """
        if not self._reason:
            self._reason, self._earliest, self._between = reason, pts, between
        if pts is not None:
            self._latest = pts if self._latest is None else max(self._latest, pts)

    def packet(self, pts: int | None) -> None:
        """A packet was decoded: frames before its time may still come that depend on a damaged one."""
        if self._reason and pts is not None and self._earliest is not None:
            self._earliest = min(self._earliest, pts)

    def frame(self, number: int, pts: int | None, is_key: bool, seconds: Fraction | None) -> None:
        """Frame `number` is shown next."""
        if pts is not None and self._last_pts is not None and pts <= self._last_pts:
            self.ordered = False
        self._last_pts = pts
        known = pts if self.ordered else None
        later = known is not None and self._latest is not None and known > self._latest
        if self._reason and not (known is not None and self._earliest is not None and known < self._earliest):
            # All frames from before the damage have now been shown.
            clean = is_key and later
            if self._open is None:
                first = self._first_spoilt(number)
                damage = Damage(first, number if clean else None, self._reason, seconds)
                self.found.append(damage)
                self._open = None if clean else damage
            elif clean:
                self._close(number)
            self._reason = ""
        elif self._open is not None and is_key and (later or known is None or self._latest is None):
            self._close(number)

    def close(self, count: int) -> None:
        """The file ended after `count` frames."""
        if self._reason and self._open is None:
            self.found.append(Damage(self._first_spoilt(count), count, self._reason, None))
        self._reason = ""
        if self._open is not None:
            self._close(count)

    def _first_spoilt(self, number: int) -> int:
        return max(0, number - 1) if self._between else number

    def _close(self, end: int) -> None:
        assert self._open is not None
        self._open.end = end
        self._open = None


def good_ranges(damages: list[Damage], start: int, stop: int, least: int) -> list[tuple[int, int]]:
    """The parts of `start` to `stop` - 1 of at least `least` frames without damage, longest first."""
    parts, at = [], start
    for damage in sorted(damages, key=lambda d: d.first):
        parts.append((at, min(damage.first, stop)))
        at = max(at, stop if damage.end is None else damage.end)
    parts.append((at, stop))
    return sorted((p for p in parts if p[1] - p[0] >= least), key=lambda p: p[0] - p[1])
