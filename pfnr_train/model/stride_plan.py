"""The stride plan: from which small grid, by which upsampling steps, a frame size is reached.

A NeRV decoder starts from an h×w grid and multiplies it by the stride of every block, so the frame must be
(h·Πr) × (w·Πr) exactly. The paper's plans (5 2 2 2 2 for 720p, 5 3 2 2 2 for 1080p, both from 9×16) fall
out of the same rule as everybody else's: factors 5, 3 and 2 only, largest first, grid area nearest 9·16.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.record import MAX_SIDE as MAX_FRAME_SIDE

TARGET_AREA = 9 * 16
MIN_SIDE, MAX_SIDE = 4, 40
MAX_AREA_RATIO = 5.0
MAX_BLOCKS = 7


@dataclass(frozen=True)
class StridePlan:
    """grid: rows and columns of the stem's output. strides: one per block, in order."""

    grid: tuple[int, int]
    strides: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame it reaches."""
        scale = prod(self.strides)
        return self.grid[1] * scale, self.grid[0] * scale


def plan_strides(width: int, height: int) -> StridePlan:
    """The stride plan of a frame size; a UsageError names the nearest sizes that work."""
    plan = find_plan(width, height)
    if plan is None:
        near = ", ".join(f"{w}x{h}" for w, h in nearest_sizes(width, height))
        raise UsageError(
            f"frame size {width}x{height} has no stride plan: both sides must share a factor made of "
            f"2, 3 and 5 that leaves a grid of about 9x16; choose `size` {near or '320x180'}"
        )
    return plan


def nearest_sizes(width: int, height: int, count: int = 3) -> list[tuple[int, int]]:
    """The frame sizes nearest to width×height that have a plan and sides divisible by 4, nearest first."""
    sizes = set()
    for scale in _scales():
        for rows in _sides_near(height, scale):
            for columns in _sides_near(width, scale):
                w, h = columns * scale, rows * scale
                fits = w % 4 == 0 and h % 4 == 0 and max(w, h) <= MAX_FRAME_SIDE
                if fits and _grid_distance(rows, columns) <= MAX_AREA_RATIO:
                    sizes.add((abs(w - width) / width + abs(h - height) / height, w, h))
    return [(w, h) for _, w, h in sorted(sizes)[:count]]


def _scales() -> list[int]:
    """Every total upsampling factor that strides of 2, 3 and 5 reach within `MAX_BLOCKS` blocks."""
    scales = {1}
    for _ in range(MAX_BLOCKS):
        scales |= {scale * factor for scale in scales for factor in (2, 3, 5)}
    return sorted(scales - {1})


def _sides_near(side: int, scale: int) -> range:
    """Sides of a grid that reach about `side`; the very nearest may make a grid of the wrong area."""
    nearest = min(MAX_SIDE, max(MIN_SIDE, round(side / scale)))
    return range(max(MIN_SIDE, nearest - 4), min(MAX_SIDE, nearest + 4) + 1)


def _grid_distance(rows: int, columns: int) -> float:
    ratio = rows * columns / TARGET_AREA
    return max(ratio, 1 / ratio)


def find_plan(width: int, height: int) -> StridePlan | None:
    """The stride plan of a frame size, None where it has none."""
    best: tuple[float, StridePlan] | None = None
    if max(width, height) > MAX_FRAME_SIDE:
        return None
    common = gcd(width, height)
    for scale in range(2, common + 1):
        if common % scale:
            continue
        strides = _factor(scale)
        rows, columns = height // scale, width // scale
        if strides is None or not all(MIN_SIDE <= side <= MAX_SIDE for side in (rows, columns)):
            continue
        distance = _grid_distance(rows, columns)
        if distance <= MAX_AREA_RATIO and (best is None or distance < best[0]):
            best = distance, StridePlan((rows, columns), strides)
    return best[1] if best else None


def _factor(scale: int) -> tuple[int, ...] | None:
    strides = []
    for factor in (5, 3, 2):
        while scale % factor == 0:
            strides.append(factor)
            scale //= factor
    return tuple(strides) if scale == 1 and len(strides) <= MAX_BLOCKS else None
