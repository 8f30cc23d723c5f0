"""The decode loop: frame numbers in, frames out; the next step computes while the last is copied back.

        compute stream   in₀ step₀ │ in₁ step₁ │ in₀ step₂ │ ...
        copy stream                │  out₀     │  out₁     │ ...
        this thread                │           │ frames₀   │ frames₁ ...

Two sets of buffers take turns. A set is reused only after its frames have left it, so neither the device nor this
thread writes what the other still reads; abandoned frames are the exception, since nobody reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.contract import FRAME_INDEX, ArtifactInput
from pfnr_runtime.backends.device.cuda import Device
from pfnr_runtime.backends.device.frames import DeviceFrames
from pfnr_runtime.backends.trt.step_graphs import StepGraphs
from pfnr_runtime.errors import BackendError

BUFFER_SETS = 2


class StepEngine(Protocol):
    """What the loop needs of an engine."""

    def profile(self, batch: int) -> int:
        """Number of the profile that runs `batch` frames."""
        ...

    def enqueue(self, batch: int, inputs: int, frames: int, stream: Any) -> None:
        """Put one run on the stream: `batch` rows at `inputs` → the frames at `frames`. BackendError."""
        ...

    def capture_obstacle(self, batch: int, stream: Any) -> str | None:
        """Why a run cannot be recorded as a CUDA graph, or None."""
        ...


@dataclass
class Ticket:
    """A step under way, and where its frames go in ordinary memory."""

    out: NDArray[Any]
    buffers: _Buffers | None


@dataclass
class _Buffers:
    """One of the two buffer sets. lent: the frames in it that a caller holds, or held last."""

    number: int
    inputs: int
    frames: int
    host_inputs: int
    host_frames: int
    inputs_view: NDArray[Any]
    frames_view: NDArray[Any]
    computed: Any
    copied: Any
    ticket: Ticket | None = None
    lent: DeviceFrames | None = None


class DecodeLoop:
    """Runs an engine on a device for one frame shape.

    - shape, dtype: of one frame as the engine gives it.
    - source: the input that selects frames.
    - max_batch: frames per step at most.
    - graphs: whether to record steps as CUDA graphs.

    A BackendError if device memory runs out, with nothing left allocated.
    """

    def __init__(
        self,
        device: Device,
        engine: StepEngine,
        *,
        shape: tuple[int, ...],
        dtype: Any = np.uint8,
        source: ArtifactInput = FRAME_INDEX,
        max_batch: int = 1,
        graphs: bool = True,
    ) -> None:
        self.max_batch, self.shape, self.dtype = max_batch, shape, np.dtype(dtype)
        self._source = source
        self._device, self._engine = device, engine
        self._turn, self._open, self._broken = 0, True, ""
        self._kept = contextlib.ExitStack()
        self._sets: list[_Buffers] = []
        self._outliving: set[int] = set()  # frames of a closed loop that a caller still holds
        try:
            self.stream = self._keep(device.create_stream(), device.destroy_stream)
            self._copy_stream = self._keep(device.create_stream(), device.destroy_stream)
            for number in range(BUFFER_SETS):
                self._sets.append(self._make_buffers(number))
        except BaseException:
            self._kept.close()
            raise
        self._graphs = StepGraphs(device, self.stream, enabled=graphs)

    @property
    def note(self) -> str:
        """How steps are launched, in words."""
        return self._graphs.note

    def decode(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The frames of B ≥ 1 rows of input, in steps of `max_batch`: [B, *shape]. BackendError."""
        out, tickets = self._start(inputs)
        self._finish(tickets)
        return out

    def decode_each(self, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """`decode` of each part in turn; the next computes while the caller has one."""
        waiting: list[Ticket] = []
        try:
            ready: NDArray[Any] | None = None
            for part in parts:
                out, tickets = self._start(part)
                if ready is not None:
                    self._finish(waiting)
                    waiting, handed, ready = tickets, ready, out
                    yield handed
                else:
                    waiting, ready = tickets, out
            if ready is not None:
                self._finish(waiting)
                waiting = []
                yield ready
        finally:
            for ticket in waiting:  # abandoned half-way: these frames are no longer wanted
                self._abandon(ticket)

    def lend(self, inputs: NDArray[Any]) -> DeviceFrames:
        """At most `max_batch` frames, kept in device memory until they are released.

        A ValueError for more frames, or while others are lent out. Decoding continues with the other set of
        buffers.
        """
        if not 1 <= len(inputs) <= self.max_batch:
            raise ValueError(
                f"{len(inputs)} frames is outside 1 to {self.max_batch} for frames kept on the device"
            )
        if any(buffers.lent is not None and buffers.lent.in_use for buffers in self._sets):
            raise ValueError(
                "frames on the device are already lent out; release them and drop the arrays made from them"
            )
        buffers = self._next_buffers()
        self._launch(buffers, inputs)

        def ready(stream: int | None) -> None:
            if stream is None:
                self._device.synchronise_event(buffers.computed)
            else:
                self._device.wait_event(stream, buffers.computed)

        buffers.lent = DeviceFrames(
            buffers.frames,
            (len(inputs), *self.shape),
            self.dtype,
            self._device.dlpack_device,
            stream=self._device.stream_number(self.stream),
            ready=ready,
            release=lambda: self._take_back(buffers.frames),
        )
        return buffers.lent

    def forget_graphs(self) -> None:
        """Call after replacing the engine's inputs or weights: steps are recorded again."""
        self.wait()
        self._graphs.forget()

    def poison(self, reason: str) -> None:
        """Refuse all further work, because the engine's state is unknown."""
        self._broken = reason

    def wait(self) -> None:
        """Wait until no step is under way. BackendError."""
        self._device.synchronise_stream(self.stream)
        self._device.synchronise_stream(self._copy_stream)

    def close(self) -> None:
        """Wait for a step under way, then free everything. Never raises."""
        if not self._open:
            return
        self._open = False
        for buffers in self._sets:
            if buffers.lent is not None:
                buffers.lent.release()
        for action in (self._device.synchronise, self.wait, self._graphs.forget, self._kept.close):
            with contextlib.suppress(BackendError):
                action()

    def _start(self, inputs: NDArray[Any]) -> tuple[NDArray[Any], list[Ticket]]:
        out = np.empty((len(inputs), *self.shape), self.dtype)
        tickets: list[Ticket] = []
        try:
            for i in range(0, len(inputs), self.max_batch):
                part = slice(i, i + self.max_batch)
                tickets.append(self._submit(inputs[part], out[part]))
        except BaseException:
            for ticket in tickets:
                self._abandon(ticket)
            raise
        return out, tickets

    def _finish(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self._land(ticket)

    def _submit(self, inputs: NDArray[Any], out: NDArray[Any]) -> Ticket:
        buffers = self._next_buffers()
        self._launch(buffers, inputs)
        size = out.nbytes
        with self._stopping_on_failure():
            self._device.wait_event(self._copy_stream, buffers.computed)
            self._device.copy_out(buffers.host_frames, buffers.frames, size, self._copy_stream)
            self._device.record_event(buffers.copied, self._copy_stream)
        buffers.ticket = Ticket(out, buffers)
        return buffers.ticket

    def _launch(self, buffers: _Buffers, inputs: NDArray[Any]) -> None:
        batch = len(inputs)
        buffers.inputs_view[:batch] = inputs

        def work() -> None:
            self._device.copy_in(buffers.inputs, buffers.host_inputs, inputs.nbytes, self.stream)
            self._engine.enqueue(batch, buffers.inputs, buffers.frames, self.stream)

        with self._stopping_on_failure():
            self._graphs.run(
                buffers.number,
                self._engine.profile(batch),
                batch,
                work,
                lambda: self._engine.capture_obstacle(batch, self.stream),
            )
            self._device.record_event(buffers.computed, self.stream)

    def _next_buffers(self) -> _Buffers:
        """The next free set; the frames of its last step leave it first."""
        self._check_open()
        if self._broken:
            raise BackendError(f"the device failed before ({self._broken}); open the video again")
        for _ in self._sets:
            buffers = self._sets[self._turn % BUFFER_SETS]
            self._turn += 1
            if buffers.lent is not None:
                if buffers.lent.in_use:
                    continue
                # The borrower's own streams may still be reading them.
                self._device.synchronise()
                buffers.lent = None
            if buffers.ticket is not None:
                self._land(buffers.ticket)
            return buffers
        raise AssertionError("lend() leaves one set free")

    def _land(self, ticket: Ticket) -> None:
        """Wait for a step, and copy its frames to the caller's array; a second call does nothing."""
        buffers = ticket.buffers
        if buffers is None:
            return
        self._check_open()
        with self._stopping_on_failure():
            self._device.synchronise_event(buffers.copied)
        ticket.out[:] = buffers.frames_view[: len(ticket.out)]
        ticket.buffers = buffers.ticket = None

    def _take_back(self, address: int) -> None:
        """Lent frames were released: free them if they outlived the loop."""
        if address in self._outliving:
            self._outliving.discard(address)
            with contextlib.suppress(BackendError):
                self._device.synchronise()
            self._device.free(address)

    def _free_frames(self, address: int) -> None:
        """Free a set's frames, or leave that to `_take_back` while an array made from them lives."""
        self._outliving.add(address)
        if not any(b.frames == address and b.lent is not None and b.lent.in_use for b in self._sets):
            self._take_back(address)

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("the decode loop is closed")

    def _abandon(self, ticket: Ticket) -> None:
        if ticket.buffers is not None:
            ticket.buffers.ticket = None
            ticket.buffers = None

    @contextlib.contextmanager
    def _stopping_on_failure(self) -> Iterator[None]:
        """After an exception, wait for the device to become idle; if that fails, refuse all further work."""
        try:
            yield
        except BaseException:
            try:
                self.wait()
            except BackendError as error:
                self._broken = str(error)
            raise

    def _keep(self, resource: Any, give_back: Any) -> Any:
        """Register a resource for `close` to free, even if freeing another fails."""

        def quietly() -> None:
            with contextlib.suppress(BackendError):
                give_back(resource)

        self._kept.callback(quietly)
        return resource

    def _make_buffers(self, number: int) -> _Buffers:
        device = self._device
        frame_bytes = prod(self.shape) * self.dtype.itemsize
        row, kind = self._source.row, np.dtype(self._source.dtype)
        sizes = self.max_batch * prod(row) * kind.itemsize, self.max_batch * frame_bytes
        inputs = self._keep(device.allocate(sizes[0]), device.free)
        frames = self._keep(device.allocate(sizes[1]), self._free_frames)
        pinned = []
        for size in sizes:
            address, view = device.allocate_host(size)
            pinned.append((self._keep(address, device.free_host), view))
        events = [self._keep(device.create_event(), device.destroy_event) for _ in range(2)]
        return _Buffers(
            number,
            inputs,
            frames,
            pinned[0][0],
            pinned[1][0],
            pinned[0][1].view(kind).reshape(self.max_batch, *row),
            pinned[1][1].view(self.dtype).reshape(self.max_batch, *self.shape),
            *events,
        )
