"""Where a camera looks in each frame, as a first guess for the path of a panned canvas.

Phase correlation (Kuglin and Hines, 1975) of neighbouring frames: the inverse transform of their normalised cross
power spectrum peaks at the shift between them. The shifts add up to a path, which training then refines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def camera_path(frames: NDArray[np.uint8]) -> Floats:
    """Offsets of the picture in each frame, in samples, rows and columns, from frames uint8 [N, H, W, 3]: [N, 2].

    What is shown at (0, 0) in the first frame is at minus the offset in the others.
    """
    height, width = frames.shape[1:3]
    taper = np.hanning(height)[:, None] * np.hanning(width)[None]
    path = np.zeros((len(frames), 2))
    previous = _spectrum(frames[0], taper)
    for index in range(1, len(frames)):
        current = _spectrum(frames[index], taper)
        cross = previous * np.conj(current)
        peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=(height, width))
        row, column = np.unravel_index(int(peak.argmax()), peak.shape)
        shift = (row + height // 2) % height - height // 2, (column + width // 2) % width - width // 2
        path[index] = path[index - 1] + shift
        previous = current
    return path


def _spectrum(frame: NDArray[np.uint8], taper: Floats) -> NDArray[np.complex128]:
    grey = frame.mean(2)
    spectrum: NDArray[np.complex128] = np.fft.rfft2((grey - grey.mean()) * taper)
    return spectrum


def path_weights(
    frames: NDArray[np.uint8], table: NDArray[np.float32], size: tuple[int, int], margin: tuple[int, int]
) -> NDArray[np.float32]:
    """First weights of a panned canvas's path: float32 [2, K], for cosines `table` float32 [N, K].

    size: rows and columns of the map it joins. The path is centred in the margin, and shrunk where it leaves it.
    """
    path = camera_path(frames) * (np.array(size) / np.array(frames.shape[1:3]))
    low, high = path.min(0), path.max(0)
    scale = np.minimum(1.0, (np.array(margin) - 2) / np.maximum(high - low, 1e-9))
    centred = (path - (low + high) / 2) * scale + np.array(margin) / 2
    weights, *_ = np.linalg.lstsq(table.astype(np.float64), centred, rcond=None)
    return weights.T.astype(np.float32)
