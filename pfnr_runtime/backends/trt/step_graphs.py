"""One decode step as a CUDA graph: recorded once per buffer and batch size, then launched as a whole.

A step is dozens of small launches, which cost a Jetson's CPU more time than the GPU's work. A step that cannot be
recorded runs launch by launch, and `note` says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any

from pfnr_runtime.backends.device.cuda import Device
from pfnr_runtime.errors import BackendError

IN_USE = "one CUDA graph per step"


class StepGraphs:
    """The recorded steps of one stream.

    enabled: False to run everything launch by launch. note: how steps run, in words.
    """

    def __init__(self, device: Device, stream: Any, *, enabled: bool = True) -> None:
        self.note = IN_USE if enabled else "no CUDA graph: switched off"
        self._device, self._stream, self._enabled = device, stream, enabled
        self._graphs: dict[tuple[Hashable, Hashable], Any] = {}
        self._warm: dict[Hashable, int] = {}

    def run(
        self,
        buffer: Hashable,
        profile: Hashable,
        batch: int,
        work: Callable[[], None],
        obstacle: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Put `work`, one step of `batch` frames on the buffers called `buffer`, on the stream.

        A step is recorded after its profile has run that batch size once, since engines set themselves up in a
        first run; a new batch size in the same profile invalidates the recording. obstacle: why the engine does
        not allow a recording, asked once for each.
        """
        if not self._enabled:
            work()
            return
        if self._warm.get(profile) != batch:
            self.forget(profile)
            work()
            self._warm[profile] = batch
            return
        if (buffer, profile) not in self._graphs:
            graph = self._record(work, obstacle)
            if graph is None:
                work()
                return
            self._graphs[buffer, profile] = graph
        self._device.launch_graph(self._graphs[buffer, profile], self._stream)

    def forget(self, profile: Hashable | None = None) -> None:
        """Drop the recordings of one profile, or all, when they no longer match a step."""
        for key in [key for key in self._graphs if profile is None or key[1] == profile]:
            graph = self._graphs.pop(key)
            for give_back in (
                lambda: self._device.synchronise_stream(self._stream),  # it may still be running
                lambda graph=graph: self._device.destroy_graph(graph),
            ):
                # A device that fails here fails at its next use too, and reports it there.
                with contextlib.suppress(BackendError):
                    give_back()
        for known in [known for known in self._warm if profile is None or known == profile]:
            del self._warm[known]

    def _record(self, work: Callable[[], None], obstacle: Callable[[], str | None]) -> Any:
        if reason := obstacle():
            self._give_up(reason)
            return None
        recording = False
        try:
            self._device.begin_capture(self._stream)
            recording = True
            work()
            recording = False
            return self._device.end_capture(self._stream)
        except BackendError as error:
            self._give_up(str(error))
            return None
        finally:
            if recording:  # the stream must leave recording mode, whatever ended it
                with contextlib.suppress(BackendError):
                    self._device.destroy_graph(self._device.end_capture(self._stream))

    def _give_up(self, reason: str) -> None:
        self.forget()
        self._enabled = False
        self.note = f"no CUDA graph: {reason}"
