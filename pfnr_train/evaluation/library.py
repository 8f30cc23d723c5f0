"""Decoding every session of a library again and comparing with its source: the figures of `pfnr-train eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.errors import PfnrError
from pfnr_train.evaluation.quality import Quality, measure_quality
from pfnr_train.evaluation.sources import source_frames
from pfnr_train.library.library import Library
from pfnr_train.library.record import SessionRecord
from pfnr_train.model.decode import decode_all

Frames = NDArray[np.uint8]
OnSession = Callable[["SessionResult", Frames, Frames], None]


@dataclass(frozen=True)
class SessionResult:
    """The result of decoding one session again. If its source is missing, quality is None and problem says why.

    stages: mean PSNR in dB when decoded from the library as of this session and every later one, the last being
    the current library; empty unless requested.
    """

    index: int
    record: SessionRecord
    quality: Quality | None
    problem: str | None = None
    stages: tuple[float, ...] = ()

    @property
    def change(self) -> float | None:
        """PSNR now minus PSNR when trained, in dB."""
        if self.quality is None or self.record.psnr is None:
            return None
        return self.quality.psnr - self.record.psnr

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        row: dict[str, Any] = {
            "session": self.index,
            "name": self.record.video.name,
            "psnr_when_trained": self.record.psnr,
            "psnr": None if self.quality is None else self.quality.psnr,
            "ms_ssim": None if self.quality is None else self.quality.ms_ssim,
            "change": self.change,
        }
        return row | ({} if self.problem is None else {"problem": self.problem})


def evaluate_library(
    library: Library,
    path: Path,
    clips: Mapping[int, Path],
    stages: bool = False,
    on_session: OnSession = lambda result, decoded, source: None,
) -> list[SessionResult]:
    """Decode every session of the library at `path` again. clips: current locations of clips, by session index.

    stages: also decode each session from the library as of every later session, rather than trusting that frozen
    weights are frozen. on_session is called with each result and its decoded and source frames, uint8 [N, H, W,
    3], where there is a source. A LibraryError if a session's weights are not those of its record.
    """
    results = []
    for index, session in enumerate(library.sessions):
        weights = library.session_weights(index)
        try:
            source = source_frames(session.record, path, clips.get(index))
        except PfnrError as error:
            results.append(SessionResult(index, session.record, None, str(error)))
            continue
        decoded = decode_all(weights)
        quality = measure_quality(decoded, source)
        figures: list[float] = []
        if stages:
            for count in range(index + 1, len(library.sessions)):
                then = decode_all(library.as_of(count).session_weights(index))
                figures.append(measure_quality(then, source, similarity=False).psnr)
            figures.append(quality.psnr)
        result = SessionResult(index, session.record, quality, stages=tuple(figures))
        results.append(result)
        on_session(result, decoded, source)
    return results


def summarise(results: list[SessionResult]) -> dict[str, float | None]:
    """Mean PSNR, and backward transfer over the sessions that had a later one (Lopez-Paz & Ranzato 2017)."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return {
        "mean_psnr": mean([None if r.quality is None else r.quality.psnr for r in results]),
        "backward_transfer": mean([r.change for r in results[:-1]]),
    }
