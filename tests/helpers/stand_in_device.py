"""A stand-in for a GPU: the device calls of `pfnr_runtime.backends.device.cuda.Device` on ordinary memory.

It is no simulation of a GPU. It keeps what the protocol promises and no more: work put on a stream is done in
that stream's order, and as late as anyone can wait for it, or with a `scheduler` at random moments. Code that
reads a buffer without having waited, or writes one that a stream still needs, gets wrong frames here.
Everything allocated is counted until it is given back, and giving back twice fails.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.backends.device.cuda import DeviceInfo
from pfnr_runtime.errors import BackendError


class StandInEvent:
    """done: how many of its recordings have happened; recorded: how many were asked for."""

    def __init__(self) -> None:
        self.recorded = self.done = 0


class StandInStream:
    """Work that waits: what it is, how to do it, and the event it records or waits for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: list[tuple[str, Callable[[], None], StandInEvent | None]] = []
        self.capturing: list[Callable[[], None]] | None = None


class StandInDevice:
    """Memory is a dictionary of arrays by their real address; a stream runs only when somebody waits for it.

    scheduler: where random moments come from. fail_at: after this many calls that can fail on a real device,
    every further one does, until None. history: what was done, in order. alive: what was made and not given
    back. foreign_waits: streams of others, by number, that were told to wait, and for what.
    """

    info = DeviceInfo("stand-in", "0.0", "0.0", "0.0", 0)
    dlpack_device = (2, 0)  # a test that hands its memory, which is ordinary memory, to NumPy says (1, 0)

    def __init__(self, scheduler: random.Random | None = None) -> None:
        self.scheduler = scheduler
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.alive: dict[int, str] = {}
        self.history: list[str] = []
        self.calls = 0
        self.fail_at: int | None = None
        self.streams: list[StandInStream] = []
        self.graphs_allowed = True
        self.foreign_waits: list[tuple[int, StandInEvent]] = []
        self._next = 0x1000

    def allocate(self, size: int) -> int:
        return self._make("device memory", size)

    def free(self, address: int) -> None:
        self._drop(address, "device memory")

    def allocate_host(self, size: int) -> tuple[int, NDArray[np.uint8]]:
        address = self._make("pinned memory", size)
        return address, self.memory[address]

    def free_host(self, address: int) -> None:
        self._drop(address, "pinned memory")

    def create_stream(self) -> StandInStream:
        self._call("create stream")
        stream = StandInStream(self._make("stream", 0))
        self.streams.append(stream)
        return stream

    def destroy_stream(self, stream: StandInStream) -> None:
        self._drop(stream.number, "stream")

    def synchronise_stream(self, stream: StandInStream) -> None:
        self._call("synchronise stream")
        self._run(stream)

    def synchronise(self) -> None:
        self._call("synchronise")
        for stream in self.streams:
            self._run(stream)

    def create_event(self) -> tuple[int, StandInEvent]:
        return self._make("event", 0), StandInEvent()

    def destroy_event(self, event: tuple[int, StandInEvent]) -> None:
        self._drop(event[0], "event")

    def record_event(self, event: tuple[int, StandInEvent], stream: StandInStream) -> None:
        event[1].recorded += 1
        turn = event[1].recorded
        self._put(stream, "record", lambda: setattr(event[1], "done", turn), event[1])

    def synchronise_event(self, event: tuple[int, StandInEvent]) -> None:
        self._call("synchronise event")
        self._until(event[1], event[1].recorded)

    def wait_event(self, stream: StandInStream | int, event: tuple[int, StandInEvent]) -> None:
        if isinstance(stream, int):
            self._call("foreign wait")
            self.foreign_waits.append((stream, event[1]))
            return
        turn = event[1].recorded
        self._put(stream, "wait", lambda: self._until(event[1], turn), event[1])

    def copy_in(self, address: int, host: int, size: int, stream: StandInStream) -> None:
        source = self.memory[host] if host in self.memory else _foreign(host, size)
        self._put(stream, "in", lambda: self._copy(self.memory[address], source, size))

    def copy_out(self, host: int, address: int, size: int, stream: StandInStream) -> None:
        self._put(stream, "out", lambda: self._copy(self.memory[host], self.memory[address], size))

    def launch(self, stream: StandInStream, what: str, work: Callable[[], None]) -> None:
        """Put an engine's own work on a stream."""
        self._put(stream, what, work)

    def begin_capture(self, stream: StandInStream) -> None:
        self._call("begin capture")
        assert stream.capturing is None
        stream.capturing = []

    def end_capture(self, stream: StandInStream) -> tuple[int, list[Callable[[], None]]]:
        recorded, stream.capturing = stream.capturing, None
        assert recorded is not None, "end_capture without begin_capture"
        self._call("end capture")
        if not self.graphs_allowed:
            raise BackendError("CUDA: operation not permitted when stream is capturing")
        return self._make("graph", 0), recorded

    def launch_graph(self, graph: tuple[int, list[Callable[[], None]]], stream: StandInStream) -> None:
        assert self.alive[graph[0]] == "graph"
        for work in graph[1]:
            self._put(stream, "graph", work)

    def destroy_graph(self, graph: tuple[int, list[Callable[[], None]]]) -> None:
        self._drop(graph[0], "graph")

    def stream_number(self, stream: StandInStream) -> int:
        return stream.number

    def _copy(self, target: NDArray[np.uint8], source: NDArray[np.uint8], size: int) -> None:
        target[:size] = source[:size]

    def _put(
        self, stream: StandInStream, what: str, work: Callable[[], None], event: StandInEvent | None = None
    ) -> None:
        self._call(what)
        if stream.capturing is not None:
            stream.capturing.append(work)
            return
        stream.waiting.append((what, work, event))
        if self.scheduler is not None:
            for _ in range(self.scheduler.randrange(4)):
                chosen = self.scheduler.choice(self.streams)
                if chosen.waiting and not self._is_held_up(chosen):
                    self._step(chosen)

    def _is_held_up(self, stream: StandInStream) -> bool:
        what, _, event = stream.waiting[0]
        return what == "wait" and event is not None and event.done < event.recorded

    def _until(self, event: StandInEvent, turn: int) -> None:
        """Run just as much as brings the event about."""
        while event.done < turn:
            recording = [s for s in self.streams for what, _, e in s.waiting if what == "record" and e is event]
            self._step(recording[0])

    def _run(self, stream: StandInStream) -> None:
        while stream.waiting:
            self._step(stream)

    def _step(self, stream: StandInStream) -> None:
        what, work, _ = stream.waiting.pop(0)
        work()
        self.history.append(what)

    def _call(self, what: str) -> None:
        self.calls += 1
        if self.fail_at is not None and self.calls > self.fail_at:
            raise BackendError(f"CUDA: an illegal memory access was encountered ({what})")

    def _make(self, what: str, size: int) -> int:
        self._call(f"make {what}")
        if size:
            array = np.full(size, 0xEE, np.uint8)
            address = array.ctypes.data
            self.memory[address] = array
        else:
            address, self._next = self._next, self._next + 0x1000
        self.alive[address] = what
        return address

    def _drop(self, address: int, what: str) -> None:
        assert self.alive.pop(address, None) == what, f"{what} given back twice, or never made"
        self.memory.pop(address, None)


def _foreign(address: int, size: int) -> NDArray[np.uint8]:
    """Ordinary memory, read now: a real device copies unpinned memory before the call returns."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).copy()


class StandInEngine:
    """An engine whose frame number i is `picture(i)`: it looks frames up in device memory, on the stream.

    obstacle: what it says against CUDA graphs. fail_from: it refuses from this run on.
    """

    def __init__(self, device: StandInDevice, table: NDArray[Any]) -> None:
        self.device, self.table = device, table
        self.obstacle: str | None = None
        self.runs: list[int] = []
        self.fail_from: int | None = None

    def profile(self, batch: int) -> int:
        return 0 if batch == 1 else 1

    def enqueue(self, batch: int, indices: int, frames: int, stream: StandInStream) -> None:
        if self.fail_from is not None and len(self.runs) >= self.fail_from:
            raise BackendError("the engine refuses")
        self.runs.append(batch)

        def run() -> None:
            numbers = self.device.memory[indices][: batch * 8].view(np.int64)
            found = np.ascontiguousarray(self.table[numbers]).view(np.uint8).reshape(-1)
            self.device.memory[frames][: found.size] = found

        self.device.launch(stream, f"step {batch}", run)

    def capture_obstacle(self, batch: int, stream: StandInStream) -> str | None:
        return self.obstacle
