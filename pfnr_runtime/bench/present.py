"""The time to show a frame, with the window's code, on a display or in memory."""

from __future__ import annotations

import os
from typing import Any

from pfnr_runtime.bench.timing import in_order, time_runs
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError

FRAMES = 4


def measure(decoder: VideoDecoder, seconds: float) -> dict[str, Any]:
    """Times of the window's `show`, and its target; `missing` without pygame-ce."""
    from pfnr_runtime.playback.window import Window

    frames = list(decoder[:FRAMES])
    try:
        window, where = Window(decoder.metadata), "a display"
    except BackendError as error:
        if "pygame-ce" in str(error):
            return {"missing": str(error)}
        window, where = _in_memory(decoder), "SDL in memory: no display found"
    try:
        times = time_runs(lambda i: window.show(frames[i], ()), in_order(len(frames)), seconds)
    finally:
        window.close()
    return {"on": where, **times.to_json()}


def _in_memory(decoder: VideoDecoder) -> Any:
    """A window that SDL draws only in memory."""
    from pfnr_runtime.playback.window import Window

    before = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    try:
        return Window(decoder.metadata)
    finally:
        if before is None:
            del os.environ["SDL_VIDEODRIVER"]
        else:
            os.environ["SDL_VIDEODRIVER"] = before
