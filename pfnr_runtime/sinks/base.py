"""The interface of sinks: outputs that take frames one after another.

One sink is one file in this package with a `SINK` record (`SinkKind`); `pfnr_runtime.sinks` finds it. A sink
writes only the `_impl` methods. Outputs are written whole or not at all: a failure or an interrupt never leaves a
half-written file under the name asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from pfnr_runtime.errors import SinkError
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


class Sink(ABC):
    """An open sink, a context manager: a normal exit finishes the output, an exception discards it.

    uri: as the user gave it. video: size, rate and colour of the frames. description: what is written, in one
    line.
    """

    description: str

    def __init__(self, uri: str, video: VideoRecord) -> None:
        self.uri = uri
        self.video = video
        self.frames_written = 0
        self._open = True

    def write(self, frame: Frame) -> None:
        """Write the next frame; a SinkError says what went wrong and what became of the output.

        A BrokenPipeError where the reader of a pipe has closed it: not a failure.
        """
        if not self._open:
            raise ValueError(f"{self.uri} is closed")
        expected = (self.video.height, self.video.width, 3)
        if frame.data.shape != expected:
            raise ValueError(f"frame of {frame.data.shape} where {self.uri} takes {expected}")
        try:
            self._write_impl(frame)
        except BrokenPipeError:
            self.abort()
            raise
        except OSError as error:
            raise self._failed(error) from None
        self.frames_written += 1

    def close(self) -> None:
        """Finish the output; closing twice does nothing. A SinkError as for `write`."""
        if not self._open:
            return
        try:
            self._close_impl()
        except BrokenPipeError:
            self.abort()
            raise
        except OSError as error:
            raise self._failed(error) from None
        self._open = False

    def abort(self) -> None:
        """Discard what is unfinished; never raises."""
        if self._open:
            self._open = False
            self._abort_impl(None)

    def result(self) -> dict[str, str]:
        """What the sink computed, by name, such as a digest; empty for most."""
        return {}

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        finally:
            self.abort()

    def _failed(self, error: OSError) -> SinkError:
        self._open = False
        left = self._abort_impl(error)
        # FFmpeg's and the kernel's errors name internal files, or none: name the one asked for.
        error.filename = None
        return SinkError(f"{self.uri}: {describe_os_error(error)}{left}")

    @abstractmethod
    def _write_impl(self, frame: Frame) -> None:
        """Write a frame of the right size; OSError where that fails."""

    @abstractmethod
    def _close_impl(self) -> None:
        """Finish the output; OSError where that fails."""

    def _abort_impl(self, error: OSError | None) -> str:
        """Discard the output, after `error` if there was one; returns what remains, to end a message."""
        return ""


@dataclass(frozen=True)
class SinkKind:
    """One kind of sink, as its file declares it.

    - name: of the kind.
    - selects: how a URI selects it, in words.
    - accepts: whether a URI selects it.
    - open(uri, video, frames, **options): start an output for `frames` frames of a video; a SinkError or
      UsageError.
    - options: names of the keyword options that `open` takes.
    """

    name: str
    selects: str
    accepts: Callable[[str], bool]
    open: Callable[..., Sink]
    options: frozenset[str] = frozenset()
