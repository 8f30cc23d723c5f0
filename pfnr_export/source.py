"""The source clip of a session, to measure what a lower precision costs against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pfnr_export.precisions import choose_precision
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.system.messages import say
from pfnr_train.evaluation.sources import source_frames
from pfnr_train.library.record import SessionRecord


def find_source(
    record: SessionRecord, library: Path, precision: str, clip: Path | None = None
) -> NDArray[np.uint8] | None:
    """The session's source frames; None where the precision needs none.

    None too, with a message, if the clip recorded in the library is gone. clip: where it is instead; a ClipError
    if that is not the right one.
    """
    if choose_precision(precision).budget is None:
        return None
    try:
        return source_frames(record, library, clip)
    except PfnrError as error:
        if clip is not None:
            raise
        say(f"the loss is estimated from the fp32 frames only: {error}")
        return None
