"""Half-open frame ranges as users type them: A:B or A:B:C, as in a Python slice."""

from __future__ import annotations

import re

from pfnr_runtime.errors import UsageError

PATTERN = re.compile(r"\s*([+-]?\d{1,9})?\s*:\s*([+-]?\d{1,9})?\s*(?::\s*([+-]?\d{1,9})?\s*)?", re.ASCII)


def parse_frame_range(text: str) -> slice:
    """'A:B' or 'A:B:C' as a slice; any part may be omitted, and negative numbers count from the end.

    B is exclusive. A UsageError explains the syntax.
    """
    match = PATTERN.fullmatch(text)
    if match is None:
        hint = ""
        if re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
            hint = f"; for frame {int(text)} alone write {int(text)}:{int(text) + 1}"
        raise UsageError(f"frame range {text!r} is not A:B or A:B:C, such as 0:32 (frames 0 to 31) or ::2{hint}")
    start, stop, step = (None if part is None else int(part) for part in match.groups())
    if step == 0:
        raise UsageError(f"frame range {text!r} has step 0; use 1 or more, or a negative step to go backwards")
    return slice(start, stop, step)


def select_frames(text: str, count: int) -> range:
    """The frames that a range names in a video of `count` frames, in order.

    Unlike a Python slice, a range that leaves the video is not shortened: it is a UsageError, as is an empty
    range.
    """
    chosen = parse_frame_range(text)
    for bound in (chosen.start, chosen.stop):
        if bound is not None and not -count <= bound <= count:
            raise UsageError(f"frame range {text!r} leaves the video, which has frames 0:{count}")
    frames = range(count)[chosen]
    if not frames:
        raise UsageError(f"frame range {text!r} selects none of the video's frames 0:{count}")
    return frames
