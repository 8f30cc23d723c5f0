"""`VideoDecoder`: an exported video as a sequence of frames, by number or by time."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.artifact.open import ArtifactFile, open_artifact
from pfnr_runtime.backends import Selection, open_backend
from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.frames import Frame, FrameBatch
from pfnr_runtime.video.record import VideoRecord

if TYPE_CHECKING:
    from pfnr_runtime.backends.base import Stages
    from pfnr_runtime.backends.device.frames import DeviceFrames

# A float time this close below a frame's own time still means that frame.
TIME_SLACK = Fraction(1, 10**9)


class VideoDecoder:
    """Decodes any frame of an artifact; every frame costs the same, in any order.

    - path: the .onnx file.
    - session: index or name, for a shared graph of several videos; `switch` goes from one to another.
    - backend: 'auto' or a backend's name; `decoder.backend` prints what runs and why.
    - threads: for engines on the CPU, all available ones by default.
    - max_batch: for engines built for a batch size, the most frames per run, 1 by default.
    - options: what else the backends take; a UsageError lists them.

    An ArtifactError or BackendError says what is wrong. Ranges are half-open. Use one decoder from one thread at a
    time; several decoders are independent. A context manager: `close()` frees the engine, and a closed decoder
    raises ValueError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        session: str | int | None = None,
        backend: str = "auto",
        threads: int | None = None,
        max_batch: int | None = None,
        **options: Any,
    ) -> None:
        self.artifact = open_artifact(path, session)
        options |= {"threads": threads, "max_batch": max_batch}
        self._backend, self._selection = open_backend(self.artifact, backend, **options)

    @property
    def backend(self) -> Selection:
        """What decodes, and why no other backend was chosen; print it."""
        return replace(self._selection, description=self._backend.description)

    @property
    def metadata(self) -> VideoRecord:
        """The video: name, frames, width, height, fps, sample aspect, colour."""
        return self.artifact.contract.video

    @property
    def contract(self) -> ArtifactContract:
        """What the artifact says about itself."""
        return self.artifact.contract

    @property
    def sessions(self) -> tuple[int, ...]:
        """Indices of the sessions that can be switched to: those with a sidecar, or a file's only one."""
        graph = self.artifact.graph
        return (self.contract.session,) if graph is None else graph.sessions

    def switch(self, session: str | int) -> None:
        """Switch to another session of a shared graph, by index or name; the graph stays loaded.

        A UsageError if there is no such session, an ArtifactError if its sidecar is damaged or belongs to
        another graph; the decoder then stays where it was. Iterators from before a switch end with an error.
        """
        graph = self.artifact.graph
        if graph is None:
            raise UsageError(f"{self.artifact.path}: one video, nothing to switch to; export a shared graph")
        artifact = graph.open_session(session)
        self._backend.switch(artifact)
        self.artifact = artifact

    def __len__(self) -> int:
        return self.metadata.frames

    @overload
    def __getitem__(self, key: int) -> Frame: ...
    @overload
    def __getitem__(self, key: slice) -> FrameBatch: ...
    def __getitem__(self, key: int | slice) -> Frame | FrameBatch:
        if isinstance(key, slice):
            return self._batch(range(*key.indices(len(self))))
        return self.get_frame_at(key)

    def __iter__(self) -> Iterator[Frame]:
        for batch in self.iter():
            yield from batch

    def iter(self, frames: Iterable[int] | None = None, *, batch_size: int | None = None) -> Iterator[FrameBatch]:
        """Batches of `batch_size` frames in the order given; the last may be short.

        frames: numbers, negative ones from the end; the whole video by default. batch_size: the engine's
        preference by default. Decodes as it goes, so memory holds one batch, or two where a GPU computes ahead.
        """
        return self._in_batches(self._numbers(range(len(self)) if frames is None else frames), batch_size)

    def get_frame_at(self, index: int) -> Frame:
        """The frame numbered `index`; a negative one counts from the end. IndexError outside the video."""
        video = self.metadata
        number = self._number(index, len(self))
        data = self._backend.decode(np.array([number], np.int64))[0]
        return Frame(data, number, video.pts_seconds(number), video.duration_seconds(number))

    def get_frames_at(self, indices: Iterable[int]) -> FrameBatch:
        """The frames numbered `indices`, in that order, repeats included; negative ones as in lists."""
        return self._batch(indices)

    def get_frames_in_range(self, start: int, stop: int, *, step: int = 1) -> FrameBatch:
        """Frames start, start + step, ... before `stop`, with 0 ≤ start ≤ stop ≤ N and step ≥ 1."""
        start, stop, step = map(operator.index, (start, stop, step))
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"frame range {start}:{stop} is not inside 0:{len(self)} of {self.metadata.name!r}")
        if step < 1:
            raise ValueError(f"step {step} must be 1 or more")
        return self._batch(range(start, stop, step))

    def get_frame_at_position(self, position: float) -> Frame:
        """The picture at a position that may lie between frames: 3.25 is a quarter of the way from frame 3 to 4.

        Only artifacts exported with `--time continuous` have one: a UsageError otherwise, an IndexError outside 0
        to N − 1: nothing was trained after the last frame. Its index is the frame before, and its duration lasts
        until the next whole frame.
        """
        return self.get_frames_at_positions([position])[0]

    def get_frames_at_positions(self, positions: Iterable[float]) -> FrameBatch:
        """`get_frame_at_position` of each, in that order. At whole numbers they are the frames themselves."""
        return self._decode(self._places(positions))

    def iter_positions(self, positions: Iterable[float], *, batch_size: int | None = None) -> Iterator[FrameBatch]:
        """`iter` for positions that may lie between frames; see `get_frame_at_position`."""
        return self._in_batches(self._places(positions), batch_size)

    def device_frames(self, indices: Iterable[int]) -> DeviceFrames:
        """Frames kept in the GPU's memory, for DLPack or `__cuda_array_interface__`; a context manager.

        In the artifact's own layout: uint8 [B, H, W, 3], or float32 [B, 3, H, W]. TensorRT lends as many as
        `max_batch` at a time. A BackendError where the engine has no device; otherwise errors as `get_frames_at`.
        """
        return self._backend.decode_on_device(self._numbers(indices))

    def get_frame_played_at(self, seconds: float) -> Frame:
        """The frame on screen at `seconds`; a ValueError outside [0, duration)."""
        return self.get_frame_at(self._index_at(seconds))

    def get_frames_played_at(self, seconds: Iterable[float]) -> FrameBatch:
        """The frames on screen at each of `seconds`, in that order."""
        return self._batch([self._index_at(moment) for moment in seconds])

    def get_frames_played_in_range(self, start_seconds: float, stop_seconds: float) -> FrameBatch:
        """The frames on screen at some moment of [start_seconds, stop_seconds); none if the two are equal.

        A ValueError unless 0 ≤ start_seconds ≤ stop_seconds ≤ duration.
        """
        video = self.metadata
        start, stop = _exact(start_seconds), _exact(stop_seconds)
        if not 0 <= start <= stop <= video.duration + TIME_SLACK:
            raise ValueError(
                f"time range [{start_seconds:g}, {stop_seconds:g}) s is not inside "
                f"[0, {float(video.duration):g}] s of {video.name!r}"
            )
        if stop - start <= TIME_SLACK:
            return self._batch([])
        end = stop - TIME_SLACK
        last = video.index_at(end) if end < video.duration else len(self)
        last += last < len(self) and video.pts(last) < end
        return self._batch(range(video.index_at(start + TIME_SLACK), last))

    def cancel(self) -> None:
        """Abort the decode under way: the only method that another thread may call.

        It may end early, with a CancelledError. Does nothing between decodes, or where the engine cannot stop.
        """
        self._backend.cancel()

    def decode_in_stages(self, index: int) -> Stages:
        """Decode the frame numbered `index` and time each stage; for measurements only."""
        return self._backend.decode_in_stages(np.array([self._number(index, len(self))], np.int64))

    def value_at(self, name: str, index: int) -> NDArray[Any]:
        """A value inside the graph for one frame, as the engine computes it; see `Backend.value_at`."""
        return self._backend.value_at(name, self._number(index, len(self)))

    def close(self) -> None:
        """Free the engine."""
        self._backend.close()

    def __enter__(self) -> VideoDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        video = self.metadata
        return (
            f"VideoDecoder({str(self.artifact.path)!r}: {video.name!r}, {video.frames} frames, "
            f"{video.width}×{video.height}, {float(video.fps):g} fps, {self._selection.name})"
        )

    def _index_at(self, seconds: float) -> int:
        return self.metadata.index_at(seconds if isinstance(seconds, Fraction) else float(seconds))

    def _numbers(self, indices: Iterable[int]) -> NDArray[np.int64]:
        """Frame numbers as int64, negative ones resolved; an IndexError names one outside the video."""
        count = len(self)
        return np.array([self._number(index, count) for index in indices], dtype=np.int64)

    def _number(self, index: int, count: int) -> int:
        number = operator.index(index)
        if not -count <= number < count:
            raise IndexError(f"frame {number} is outside {-count} to {count - 1} of {self.metadata.name!r}")
        return number % count

    def _places(self, positions: Iterable[float]) -> NDArray[np.float64]:
        """Positions in the video as float64; an IndexError names one outside it."""
        if self.contract.time_embedding is None:
            again = "export it again" if self.artifact.graph is None else "export the session alone"
            raise UsageError(
                f"{self.artifact.path}: decodes whole frames only; {again} with pfnr-export --time continuous "
                "to decode between frames"
            )
        places, last = np.array([float(position) for position in positions], np.float64), len(self) - 1
        if len(outside := places[~((places >= 0) & (places <= last))]):
            raise IndexError(f"position {outside[0]:g} is outside 0 to {last} of {self.metadata.name!r}")
        return places

    def _batch(self, indices: Iterable[int]) -> FrameBatch:
        return self._decode(self._numbers(indices))

    def _decode(self, numbers: NDArray[Any]) -> FrameBatch:
        size = self._backend.preferred_batch
        if len(numbers) <= size:
            return self._timed(numbers, self._backend.decode(numbers))
        video = self.metadata
        data = np.empty((len(numbers), video.height, video.width, 3), np.uint8)
        for i in range(0, len(numbers), size):
            data[i : i + size] = self._backend.decode(numbers[i : i + size])
        return self._timed(numbers, data)

    def _in_batches(self, numbers: NDArray[Any], batch_size: int | None) -> Iterator[FrameBatch]:
        size = self._backend.preferred_batch if batch_size is None else operator.index(batch_size)
        if size < 1:
            raise ValueError(f"batch_size {size} must be 1 or more")
        return self._batches([numbers[i : i + size] for i in range(0, len(numbers), size)], self.artifact)

    def _batches(self, parts: list[NDArray[Any]], artifact: ArtifactFile) -> Iterator[FrameBatch]:
        decoded = self._backend.decode_batches(parts)
        for part in parts:
            if self.artifact is not artifact:
                raise RuntimeError(f"the decoder was switched from {artifact.contract.video.name!r} meanwhile")
            yield self._timed(part, next(decoded))

    def _timed(self, numbers: NDArray[Any], data: NDArray[np.uint8]) -> FrameBatch:
        video = self.metadata
        times = np.array([video.pts_seconds(number) for number in numbers.tolist()], np.float64)
        before = np.floor(numbers).astype(np.int64)
        durations = np.array([video.duration_seconds(number) for number in before.tolist()], np.float64)
        return FrameBatch(data, before, times, durations * (before + 1 - numbers))


def _exact(seconds: float) -> Fraction:
    """A time as a fraction; a ValueError if it is not a number."""
    if not math.isfinite(seconds):
        raise ValueError(f"{seconds} is not a time in seconds")
    return seconds if isinstance(seconds, Fraction) else Fraction(float(seconds))
