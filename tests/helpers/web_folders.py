"""A folder that pfnr-web wrote, and what its videos show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Their numbers on the page; 0 and 1 are the exact videos of `helpers.serving`.
CANVAS, FOURIER, FLOATS, INTEGERS = 2, 3, 4, 5


@dataclass(frozen=True)
class WebFolder:
    """A folder of `pfnr-web`. frames: what pfnr decodes of each session, uint8 [N, H, W, 3]."""

    path: Path
    frames: list[NDArray[np.uint8]]
