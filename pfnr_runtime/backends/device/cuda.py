"""The few device calls that decoding needs: a thin protocol, and its implementation on NVIDIA's bindings.

Addresses, streams, events and graphs are plain integers or opaque handles. Every call works or raises a one-line
BackendError.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.backends.device.dlpack import CUDA
from pfnr_runtime.errors import BackendError


@dataclass(frozen=True)
class DeviceInfo:
    """One GPU.

    - capability: compute capability, such as '8.7'.
    - driver, runtime: the CUDA versions of the driver and of the bindings, such as '12.6'.
    - memory: bytes.
    """

    name: str
    capability: str
    driver: str
    runtime: str
    memory: int

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability}, CUDA {self.driver})"


class Device(Protocol):
    """What the decode loop needs of a GPU. Copies and launches on a stream happen in order."""

    @property
    def info(self) -> DeviceInfo: ...
    @property
    def dlpack_device(self) -> tuple[int, int]:
        """DLPack's type and number of the device on which `allocate` allocates."""
        ...

    def allocate(self, size: int) -> int: ...
    def free(self, address: int) -> None: ...
    def allocate_host(self, size: int) -> tuple[int, NDArray[np.uint8]]:
        """Pinned host memory: its address, and the memory as an array."""
        ...

    def free_host(self, address: int) -> None: ...
    def create_stream(self) -> Any: ...
    def destroy_stream(self, stream: Any) -> None: ...
    def synchronise_stream(self, stream: Any) -> None: ...
    def synchronise(self) -> None:
        """Wait for all work on the device, including other libraries'."""
        ...

    def create_event(self) -> Any: ...
    def destroy_event(self, event: Any) -> None: ...
    def record_event(self, event: Any, stream: Any) -> None: ...
    def synchronise_event(self, event: Any) -> None: ...
    def wait_event(self, stream: Any, event: Any) -> None:
        """Later work on `stream`, ours or a foreign one by number, waits for what `event` last recorded."""
        ...

    def copy_in(self, address: int, host: int, size: int, stream: Any) -> None: ...
    def copy_out(self, host: int, address: int, size: int, stream: Any) -> None: ...
    def begin_capture(self, stream: Any) -> None: ...
    def end_capture(self, stream: Any) -> Any:
        """The launchable graph of what was put on `stream` since `begin_capture`."""
        ...

    def launch_graph(self, graph: Any, stream: Any) -> None: ...
    def destroy_graph(self, graph: Any) -> None: ...
    def stream_number(self, stream: Any) -> int:
        """The stream as a number, for engines."""
        ...


class CudaDevice:
    """The first CUDA device visible to this process (see `CUDA_VISIBLE_DEVICES`), through cuda-bindings."""

    def __init__(self) -> None:
        from cuda.bindings import runtime as cudart

        self._cudart: Any = cudart
        count = self._call(cudart.cudaGetDeviceCount)
        if count < 1:
            raise BackendError("no CUDA device is visible; check CUDA_VISIBLE_DEVICES and nvidia-smi")
        self._call(cudart.cudaSetDevice, 0)
        properties = self._call(cudart.cudaGetDeviceProperties, 0)
        name = properties.name
        self._info = DeviceInfo(
            name.decode(errors="replace") if isinstance(name, bytes) else str(name),
            f"{properties.major}.{properties.minor}",
            _version(self._call(cudart.cudaDriverGetVersion)),
            _version(self._call(cudart.cudaRuntimeGetVersion)),
            int(properties.totalGlobalMem),
        )

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def dlpack_device(self) -> tuple[int, int]:
        return CUDA, 0

    def used_memory(self) -> int:
        """Bytes of the device's memory in use by all processes; on a Jetson this is the board's memory."""
        return self._info.memory - int(self._call(self._cudart.cudaMemGetInfo))

    def allocate(self, size: int) -> int:
        return int(self._call(self._cudart.cudaMalloc, size))

    def free(self, address: int) -> None:
        self._call(self._cudart.cudaFree, address)

    def allocate_host(self, size: int) -> tuple[int, NDArray[np.uint8]]:
        address = int(self._call(self._cudart.cudaHostAlloc, size, self._cudart.cudaHostAllocDefault))
        return address, np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def free_host(self, address: int) -> None:
        self._call(self._cudart.cudaFreeHost, address)

    def create_stream(self) -> Any:
        return self._call(self._cudart.cudaStreamCreateWithFlags, self._cudart.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        self._call(self._cudart.cudaStreamDestroy, stream)

    def synchronise_stream(self, stream: Any) -> None:
        self._call(self._cudart.cudaStreamSynchronize, stream)

    def synchronise(self) -> None:
        self._call(self._cudart.cudaDeviceSynchronize)

    def create_event(self) -> Any:
        # A thread waiting for an event sleeps: showing or encoding frames needs the processor.
        flags = self._cudart.cudaEventDisableTiming | self._cudart.cudaEventBlockingSync
        return self._call(self._cudart.cudaEventCreateWithFlags, flags)

    def destroy_event(self, event: Any) -> None:
        self._call(self._cudart.cudaEventDestroy, event)

    def record_event(self, event: Any, stream: Any) -> None:
        self._call(self._cudart.cudaEventRecord, event, stream)

    def synchronise_event(self, event: Any) -> None:
        self._call(self._cudart.cudaEventSynchronize, event)

    def wait_event(self, stream: Any, event: Any) -> None:
        self._call(self._cudart.cudaStreamWaitEvent, stream, event, 0)

    def copy_in(self, address: int, host: int, size: int, stream: Any) -> None:
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cudart.cudaMemcpyAsync, address, host, size, kind, stream)

    def copy_out(self, host: int, address: int, size: int, stream: Any) -> None:
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cudart.cudaMemcpyAsync, host, address, size, kind, stream)

    def begin_capture(self, stream: Any) -> None:
        mode = self._cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._cudart.cudaStreamBeginCapture, stream, mode)

    def end_capture(self, stream: Any) -> Any:
        graph = self._call(self._cudart.cudaStreamEndCapture, stream)
        try:
            return self._call(self._cudart.cudaGraphInstantiate, graph, 0)
        finally:
            self._call(self._cudart.cudaGraphDestroy, graph)

    def launch_graph(self, graph: Any, stream: Any) -> None:
        self._call(self._cudart.cudaGraphLaunch, graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        self._call(self._cudart.cudaGraphExecDestroy, graph)

    def stream_number(self, stream: Any) -> int:
        return int(stream)

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Call a function of the bindings, which returns (status, values...); return its value, if any."""
        try:
            status, *values = function(*arguments)
        except RuntimeError as error:  # bindings before 13 raise if there is no driver
            raise BackendError(f"CUDA: {' '.join(str(error).split())[:300]} ({function.__name__})") from None
        if status != self._cudart.cudaError_t.cudaSuccess:
            self._fail(function.__name__, status)
        return values[0] if values else None

    def _fail(self, function: str, status: Any) -> NoReturn:
        # The CUDA runtime keeps an error until it is read, and would report it again from a later call.
        self._cudart.cudaGetLastError()
        _, text = self._cudart.cudaGetErrorString(status)
        said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise BackendError(f"CUDA: {said} ({function}){_advice(status.name)}")


def _advice(name: str) -> str:
    return {
        "cudaErrorInsufficientDriver": (
            "; there is no NVIDIA driver here, or it is older than cuda-bindings: update the driver, or install "
            "the bindings for its CUDA version, such as pip install 'cuda-bindings<13'"
        ),
        "cudaErrorNoDevice": "; no NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES",
        "cudaErrorMemoryAllocation": ("; the GPU is out of memory: close other programs, or use smaller batches"),
        "cudaErrorDevicesUnavailable": "; another program has exclusive use of the GPU: close it",
    }.get(name, "")


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def driver_missing() -> str | None:
    """Why there is no NVIDIA driver here, or None; checks only the system."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return "no NVIDIA driver (libcuda.so.1) on this machine, so no GPU to run on"
    return None


def device_missing() -> str | None:
    """Why no CUDA device can be used here, or None; the cheap checks first."""
    if reason := driver_missing():
        return reason
    try:
        open_device()
    except BackendError as error:
        return str(error)
    except ImportError as error:
        return f"cuda-bindings cannot be imported ({error}); install it with: pip install 'pfnr[tensorrt]'"
    return None


@functools.cache
def open_device() -> CudaDevice:
    """The device, opened once per process. Raises BackendError or ImportError."""
    return CudaDevice()
