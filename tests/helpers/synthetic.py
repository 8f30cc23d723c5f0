"""Small made-up clips that look enough like video to learn, encode and compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def moving_pattern(frames: int, width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [N,H,W,3]: drifting gradients, a moving disc and bar; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    phase, drift = rng.uniform(0, 2 * np.pi, (2, 3)), rng.uniform(0.5, 1.5, 3)
    waves = rng.uniform(0.5, 2.0, (3, 2))
    disc, bar = rng.integers(30, 226, (2, 3))
    centre, speed = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.3, 2)
    y = np.linspace(0, 1, height)[:, None]
    x = np.linspace(0, 1, width)[None, :]
    soft = 1.5 / min(width, height)
    out = np.empty((frames, height, width, 3), np.uint8)
    for k in range(frames):
        t = k / max(frames, 8)
        picture = np.empty((height, width, 3))
        for c in range(3):
            wave = np.sin(2 * np.pi * (waves[c, 0] * x + waves[c, 1] * y + drift[c] * t) + phase[0, c])
            picture[..., c] = 128 + 60 * wave + 30 * np.sin(2 * np.pi * (x - y) + phase[1, c])
        cx = centre[0] + speed[0] * np.cos(2 * np.pi * t)
        cy = centre[1] + speed[1] * np.sin(2 * np.pi * t)
        inside = 1 / (1 + np.exp((np.hypot((x - cx) * width / height, y - cy) - 0.15) / soft))
        picture += inside[..., None] * (disc - picture)
        edge = 1 / (1 + np.exp((np.abs(x - (0.1 + 0.8 * t)) - 0.04) / soft)) + 0 * y
        picture += edge[..., None] * (bar - picture)
        out[k] = np.clip(np.rint(picture), 0, 255)
    return out
