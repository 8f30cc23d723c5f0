"""Slow motion: several frames for each frame of an open video, decoded at the times in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import ParameterError
from pfnr_runtime.video.frames import Frame, FrameBatch
from pfnr_runtime.video.record import VideoRecord

MAX_FACTOR = 100


class SlowMotion:
    """A decoder's video with `factor` frames in place of each, numbered from 0, at the same rate.

    Frame i is the picture at i / factor; whole numbers give exactly the video's frames. Where frames are not
    evenly spaced, each of the `factor` frames lasts as long as the original, so the whole video slows down by the
    same factor. The last frame has no successor: it repeats for the factor − 1 frames after it. A UsageError for a
    factor outside 1 to `MAX_FACTOR`, or where the artifact decodes whole frames only.
    """

    def __init__(self, decoder: VideoDecoder, factor: int) -> None:
        if not 1 <= factor <= MAX_FACTOR:
            raise ParameterError("factor", f"{factor} is outside 1 to {MAX_FACTOR}")
        self.decoder, self.factor = decoder, factor
        decoder.iter_positions([])  # raises where the artifact decodes whole frames only
        try:
            self._metadata = decoder.metadata.select([i // factor for i in range(len(decoder) * factor)])
        except ValueError as error:
            raise ParameterError("factor", f"{factor}: {error}") from None

    @property
    def metadata(self) -> VideoRecord:
        """The video's record with the new number of frames."""
        return self._metadata

    def __len__(self) -> int:
        return self._metadata.frames

    def frames_of(self, frames: range) -> range:
        """The slowed frames for these `frames` of the video; a UsageError where they skip some."""
        if frames.step != 1:
            raise ParameterError(
                "factor", f"{self.factor} needs consecutive frames, not a range with step {frames.step}"
            )
        return range(frames.start * self.factor, frames.stop * self.factor)

    def get_frame_at(self, index: int) -> Frame:
        """Frame `index`, 0 to N·factor − 1."""
        return next(self.iter([index]))[0]

    def iter(self, frames: Iterable[int], *, batch_size: int | None = None) -> Iterator[FrameBatch]:
        """Batches of these frames in the order given, as `VideoDecoder.iter`."""
        numbers = np.array(list(frames), np.int64)
        if len(outside := numbers[(numbers < 0) | (numbers >= len(self))]):
            raise IndexError(f"frame {outside[0]} is outside 0 to {len(self) - 1} of the slowed video")
        last, video = len(self.decoder) - 1, self._metadata
        positions = np.minimum(numbers / self.factor, last)
        done = 0
        for batch in self.decoder.iter_positions(positions, batch_size=batch_size):
            part = numbers[done : done + len(batch)]
            done += len(batch)
            times = [(video.pts_seconds(i), video.duration_seconds(i)) for i in part.tolist()]
            starts, durations = np.array(times, np.float64).reshape(-1, 2).T
            yield FrameBatch(batch.data, part, starts, durations)
