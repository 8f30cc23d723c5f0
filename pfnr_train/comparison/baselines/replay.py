"""Replay of exemplars in the manner of iCaRL (Rebuffi et al. 2017, arXiv 1611.07725).

A memory of fixed size holds frames of old videos, equally many of each; later videos are trained together with
them. Frames are chosen by herding: their running mean stays nearest to the video's mean. iCaRL's other half,
distilling old outputs for new inputs, has no meaning here: a frame of a new video is not an input of an old one.
Instead, exemplars keep their own video's head and time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.sinks.images import FORMATS, encode_image
from pfnr_train.comparison.baselines.dense_training import Part
from pfnr_train.comparison.baselines.method import Frames, Setting
from pfnr_train.comparison.baselines.sequential import FineTuning

FEATURE_STEP = 8  # herding compares averages over squares of this side


def herd(features: NDArray[np.float64], count: int) -> list[int]:
    """`count` rows of [n, d], in order: each brings the mean of the chosen rows nearest to the overall mean."""
    mean = features.mean(0)
    chosen: list[int] = []
    total = np.zeros_like(mean)
    for k in range(min(count, len(features))):
        distances = np.linalg.norm(mean - (total + features) / (k + 1), axis=1)
        distances[chosen] = np.inf
        best = int(distances.argmin())
        chosen.append(best)
        total += features[best]
    return chosen


def picture_features(frames: Frames) -> NDArray[np.float64]:
    """Frames uint8 [N, H, W, 3] as rows [N, d] of averages over squares."""
    count, height, width, _ = frames.shape
    side = min(FEATURE_STEP, height, width)
    rows, columns = height // side, width // side
    squares = frames[:, : rows * side, : columns * side].reshape(count, rows, side, columns, side, 3)
    return squares.mean((2, 4)).reshape(count, -1)


class ExemplarReplay(FineTuning):
    """Fine-tuning on the new video and the exemplars of all old ones."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.exemplars: list[Part] = []

    def rehearsed(self) -> list[Part]:
        """See the class."""
        return self.exemplars

    def remember(self, part: Part) -> float:
        """Choose the new video's exemplars, and keep only the first ones of the others."""
        share = self.setting.memory // (len(self.exemplars) + 1)
        chosen = herd(picture_features(part.frames), share)
        self.exemplars = [Part(p.video, p.frames[:share], p.table[:share]) for p in self.exemplars]
        self.exemplars.append(Part(part.video, part.frames[chosen], part.table[chosen]))
        self.exemplars = [p for p in self.exemplars if len(p.frames)]
        return 0.0

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`: exemplars count as PNG files."""
        pictures = [encode_image(frame, FORMATS[".png"]) for part in self.exemplars for frame in part.frames]
        return super().stored_bytes() | {"exemplars": sum(map(len, pictures))}
