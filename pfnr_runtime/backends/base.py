"""The interface of backends: a context manager that turns frame numbers into pictures.

Public methods check; a backend writes only `_decode_impl` and `_close_impl`, `_switch_impl` if it runs shared
graphs, and `_lend_impl` if it has a device. One backend is one file in
this package with a `BACKEND` record (`BackendKind`); `pfnr_runtime.backends` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.errors import BackendError

if TYPE_CHECKING:
    from pfnr_runtime.artifact.sidecar import Sidecar
    from pfnr_runtime.backends.device.frames import DeviceFrames

# Compared with a dtype for every frame: a name or a scalar type would be parsed each time.
_INT64, _FLOAT64, _UINT8 = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.uint8)


class Stages(NamedTuple):
    """Seconds of one decode. compute: until the frames are complete in the engine's memory. copy: from there to
    pictures in host memory.
    """

    compute: float
    copy: float


class Backend(ABC):
    """An engine with one artifact loaded. Not thread-safe.

    - name: of its kind.
    - description: what runs, in one line (library version, threads, optimisation level).
    - brief: its key part in a few words (threads, or the GPU).
    - preferred_batch: the batch size at which it decodes best.
    """

    name: str
    description: str
    brief: str = ""
    preferred_batch: int = 1

    def __init__(self, artifact: ArtifactFile) -> None:
        self.artifact = artifact
        self._open = True

    def decode(self, indices: NDArray[Any]) -> NDArray[np.uint8]:
        """Frames by number: int64 [B], each in [0, N) → uint8 [B, H, W, 3], RGB, full range.

        An artifact of continuous time also takes positions between frames, float64 [B], each in [0, N − 1]. A
        ValueError for another type or shape, an IndexError for a frame the video does not have, a BackendError
        where the engine fails, a CancelledError after `cancel`.
        """
        inputs = self._checked(indices)
        if len(inputs) == 0:
            return self._no_frames()
        most = self.artifact.most_at_once
        if len(inputs) <= most:
            return self._as_pictures(self._decode_impl(inputs), len(inputs))
        runs = (inputs[i : i + most] for i in range(0, len(inputs), most))
        return np.concatenate([self._as_pictures(self._decode_impl(run), len(run)) for run in runs])

    def cancel(self) -> None:
        """Abort the decode under way, from another thread: it may end early, with a CancelledError.

        Does nothing between decodes, or where the engine cannot stop; the next decode is unaffected.
        """
        self._cancel_impl()

    def decode_in_stages(self, indices: NDArray[Any]) -> Stages:
        """Decode these frames and time each stage; errors as `decode`. For measurements only."""
        return self._stages_impl(self._checked(indices))

    def decode_batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
        """`decode` of each part in turn; a GPU engine may compute one part ahead."""
        return map(self.decode, parts)

    def decode_on_device(self, indices: NDArray[Any]) -> DeviceFrames:
        """Frames by number, kept in device memory in the artifact's layout; release them soon.

        Errors as `decode`. A BackendError on a CPU engine; a ValueError for no frames, for more than TensorRT's
        `max_batch`, or while other frames are lent out.
        """
        inputs = self._checked(indices)
        if len(inputs) == 0:
            raise ValueError("no frames to keep on the device; name one or more")
        return self._lend_impl(inputs)

    def value_at(self, name: str, index: int) -> NDArray[Any]:
        """The float32 value `name` inside the artifact's graph for one frame, as this engine computes it when it
        also has to give that value; for finding mistakes of an engine. A BackendError where it cannot give it.
        """
        return self._value_impl(name, self._checked(np.array([index], np.int64)))

    def _checked(self, indices: NDArray[Any]) -> NDArray[Any]:
        """The engine's input for these frames."""
        self._check_open()
        indices, contract = np.asarray(indices), self.artifact.contract
        whole = indices.dtype == _INT64
        if indices.ndim != 1 or not (whole or (indices.dtype == _FLOAT64 and contract.time_embedding is not None)):
            allowed = "int64" if contract.time_embedding is None else "int64 or float64"
            raise ValueError(f"frame indices must be {allowed} [B], not {indices.dtype} {list(indices.shape)}")
        video = contract.video
        # Players ask for one frame at a time, and NumPy's reductions are slow just after the engine has filled the
        # processor's caches.
        last = video.frames - 1
        if len(indices) == 1:
            inside = 0 <= indices.item() <= last
        else:
            inside = not len(indices) or (indices.min() >= 0 and indices.max() <= last)
        if not inside:
            outside = indices[~((indices >= 0) & (indices <= last))]
            raise IndexError(f"frame {outside[0]} is outside 0 to {last} of {video.name!r}")
        return contract.inputs_at(indices)

    def _no_frames(self) -> NDArray[np.uint8]:
        video = self.artifact.contract.video
        return np.empty((0, video.height, video.width, 3), np.uint8)

    def _as_pictures(self, output: NDArray[Any], count: int) -> NDArray[np.uint8]:
        """The engine's output as pictures; a BackendError unless it matches the contract."""
        video = self.artifact.contract.video
        pictures = to_pictures(output)
        expected = (count, video.height, video.width, 3)
        if pictures.dtype != _UINT8 or pictures.shape != expected:
            raise BackendError(
                f"{self.name} gave {pictures.dtype} {list(pictures.shape)} where uint8 {list(expected)} "
                "was promised; export the session again"
            )
        return pictures

    def switch(self, artifact: ArtifactFile) -> None:
        """Switch to another session of the same shared graph, without reloading the graph.

        A ValueError if `artifact` is not a session of the graph that is loaded. A BackendError where the engine
        fails; the backend is then unusable.
        """
        self._check_open()
        if artifact.sidecar is None or artifact.graph is None or artifact.graph is not self.artifact.graph:
            raise ValueError(f"{artifact.path} is not a session of the shared graph that is loaded")
        self._switch_impl(artifact.sidecar)
        self.artifact = artifact

    def close(self) -> None:
        """Free the engine; closing twice does nothing."""
        if self._open:
            self._open = False
            self._close_impl()

    def __enter__(self) -> Backend:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"the {self.name} backend is closed")

    @abstractmethod
    def _decode_impl(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The artifact's output in the layout of its contract. inputs: as `ArtifactContract.input` describes,
        checked and contiguous.
        """

    def _cancel_impl(self) -> None:  # noqa: B027
        """Stop the run under way, if possible."""

    def _stages_impl(self, inputs: NDArray[Any]) -> Stages:
        """One decode, timed; engines with frames in device memory override it."""
        start = perf_counter()
        output = self._decode_impl(inputs)
        computed = perf_counter()
        self._as_pictures(output, len(inputs))
        return Stages(computed - start, perf_counter() - computed)

    def _value_impl(self, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
        """`_decode_impl` of a graph in which this value is an output too."""
        raise BackendError(f"{self.name} does not give the values of layers")

    def _lend_impl(self, inputs: NDArray[Any]) -> DeviceFrames:
        """`_decode_impl` without the copy to host memory."""
        raise BackendError(
            f"{self.name} decodes into host memory; frames stay on a GPU with the backends "
            "tensorrt, tensorrt-rtx and onnxruntime-cuda"
        )

    def _switch_impl(self, sidecar: Sidecar) -> None:
        """Load the inputs of another session, already checked against the graph."""
        raise BackendError(f"the {self.name} backend cannot switch between sessions")

    @abstractmethod
    def _close_impl(self) -> None:
        """Free memory and device."""


@dataclass(frozen=True)
class BackendKind:
    """One kind of backend, as its file declares it.

    - name: what a user asks for.
    - extra: what to pip install for it.
    - preference: `auto` tries the lowest first.
    - probe: why it cannot run here, or None.
    - open: load an artifact with options that it knows; a BackendError if that fails.
    - options: names of the keyword options that `open` takes.
    - shared: whether it runs shared graphs too.
    - device: why this machine lacks the hardware, or None; asked only where the library is installed.
    """

    name: str
    extra: str
    preference: int
    probe: Callable[[], str | None]
    open: Callable[..., Backend]
    options: frozenset[str] = frozenset()
    shared: bool = False
    device: Callable[[], str | None] = lambda: None


def to_pictures(output: NDArray[Any]) -> NDArray[np.uint8]:
    """An artifact's output as pictures, uint8 [B, H, W, 3], whichever of `OUTPUT_KINDS` it is.

    float32 [B, 3, H, W] in [0, 1] is rounded half to even, as the tail of a graph that gives uint8 does. A
    BackendError if a sample is not a number.
    """
    if output.dtype == _UINT8:
        return output
    if not np.isfinite(output).all():
        raise BackendError("the decoded frame holds values that are not numbers; export at a higher precision")
    scaled = np.rint(np.clip(output.astype(np.float32, copy=False), 0, 1) * np.float32(255))
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(0, 2, 3, 1))
