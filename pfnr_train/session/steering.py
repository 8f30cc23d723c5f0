"""Steering λ to a target size, by what a session's size is off the course that ends in it.

Excess is the natural logarithm of the size over what the course wants now. λ answers at once, by a power of it,
and for good, by its sum over the training.
"""

from __future__ import annotations

import math

import numpy as np

# With a constant λ, ln(size) of a network with a stem falls along the same curve in every training: by so much,
# down to its end at this progress.
EXCESS, SETTLED = 1.5, 0.8
# λ goes by excess^PUSH at once, and by excess^STEER over a whole training.
PUSH, STEER = 1.0, 6.0
LEAST_RATE, MOST_RATE = 1e-3, 1e4


class Steering:
    """The λ of a session with a target, in bytes, that starts from `rate`.

    - level: ln λ, where the size is on its course.
    - brake: in place of PUSH, where the size is below it.
    - rounded: whether it goes by sizes of rounded weights; else by those of weights with noise.
    """

    brake = PUSH
    rounded = False

    def __init__(self, target: float, rate: float) -> None:
        self.target, self.level = target, math.log(rate)

    def excess(self, size: float, progress: float) -> float:
        """ln of the size, bytes, over what the course wants at this progress, in (0, 1]."""
        return math.log(size / self.target) - EXCESS * max(0.0, 1 - progress / SETTLED) ** 1.5

    def rate(self, size: float, progress: float, part: float) -> float:
        """λ for the next step. part: of the training that a step is."""
        excess = self.excess(size, progress)
        self.level += STEER * part * excess
        push = self.push(progress) if excess > 0 else self.brake
        return min(max(math.exp(self.level + push * excess), LEAST_RATE), MOST_RATE)

    def push(self, progress: float) -> float:
        """How hard a size above the course is answered at once."""
        return PUSH

    def state(self) -> list[float]:
        """What it remembers, as plain numbers."""
        return [self.level]

    def load_state(self, state: list[float]) -> None:
        """Take over what `state` gave."""
        [self.level] = state


# Progress at which a canvas network has the size that it takes without a price on bits, and what is left of the
# logarithm of its fall from there, measured at λ 1 and 4.
BEGIN = 0.12
CANVAS_PUSH, LAST_PUSH = 2.0, 8.0
CAUTION = 0.25  # by which ln λ is begun lower than measured: it is better raised than lowered
LEFT = (
    (0.12, 1.0),
    (0.19, 0.97),
    (0.25, 0.83),
    (0.31, 0.67),
    (0.38, 0.54),
    (0.44, 0.3),
    (0.5, 0.17),
    (0.62, 0.05),
    (0.7, 0.0),
)


class CanvasSteering(Steering):
    """The λ of a canvas network, whose price rises late: its first sizes tell nothing, so λ is guessed from them.
    Maps and pictures that died do not come back, so it brakes hard.

    free: ln of the size without a price on bits, once it is known.
    """

    brake = 4.0
    rounded = True  # noise hides what rounding will take

    def __init__(self, target: float, rate: float) -> None:
        super().__init__(target, rate)
        self.free: float | None = None

    def excess(self, size: float, progress: float) -> float:
        """See `Steering`."""
        assert self.free is not None
        fall = max(0.0, self.free - math.log(self.target))
        places, left = np.array(LEFT).T
        return math.log(size / self.target) - float(np.interp(progress, places, left)) * fall

    def rate(self, size: float, progress: float, part: float) -> float:
        """See `Steering`."""
        if progress < BEGIN:
            return math.exp(self.level)
        if self.free is None:
            self.free = math.log(size)
            self.level = self._guess(self.free - math.log(self.target))
        return super().rate(size, progress, part)

    def push(self, progress: float) -> float:
        """See `Steering`: harder at the end, where the learning rate falls and little moves."""
        return CANVAS_PUSH if progress < LEFT[-1][0] else LAST_PUSH

    def state(self) -> list[float]:
        """See `Steering`."""
        return [self.level] if self.free is None else [self.level, self.free]

    def load_state(self, state: list[float]) -> None:
        """See `Steering`."""
        self.level, *free = state
        self.free = free[0] if free else None

    @staticmethod
    def _guess(fall: float) -> float:
        """ln λ under which the size falls by so much: the root of fall = 0.81 + 0.25 x + 0.12 x², measured."""
        return (-0.25 + math.sqrt(max(0.0, 0.0625 + 0.48 * (fall - 0.81)))) / 0.24 - CAUTION
