"""Strips to look at: source, decoded and amplified difference of one frame, side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.sinks.images import FORMATS, encode_image
from pfnr_train.clips import fit_to

AMPLIFIED = 4
WIDEST = 480
GAP = 6


def strip_jpeg(source: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> bytes:
    """Two frames, uint8 [H, W, 3], and their difference as one JPEG; each at most `WIDEST` wide."""
    difference = np.abs(source.astype(np.int16) - decoded) * AMPLIFIED
    pictures = [source, decoded, np.clip(difference, 0, 255).astype(np.uint8)]
    height, width = source.shape[:2]
    if width > WIDEST:
        size = (WIDEST, max(1, round(height * WIDEST / width)))
        pictures = [fit_to((width, height), size, scaling="average").apply(picture) for picture in pictures]
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    joined = np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)
    return encode_image(joined, FORMATS[".jpg"])
