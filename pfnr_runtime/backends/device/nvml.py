"""Driver and GPU information from NVIDIA's management library (NVML), through NVIDIA's binding (nvidia-ml-py)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.errors import BackendError

EXTRA = "pip install nvidia-ml-py"


@dataclass(frozen=True)
class Gpu:
    """One GPU. memory, used: bytes, of all processes. joules: since the driver was loaded, None on GPUs without
    the counter.
    """

    name: str
    capability: str
    memory: int | None
    used: int | None
    joules: float | None


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """The initialised binding; a one-line BackendError says what is missing."""
    try:
        import pynvml
    except ImportError:
        raise BackendError(f"nvidia-ml-py is not installed; install it with: {EXTRA}") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise BackendError(f"NVML: {error}; it comes with the NVIDIA driver") from None
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def driver_version() -> str:
    """The driver version, such as '575.57.08'. BackendError."""
    with opened() as nvml:
        try:
            return _text(nvml.nvmlSystemGetDriverVersion())
        except nvml.NVMLError as error:
            raise BackendError(f"NVML: {error}") from None


def gpus() -> tuple[Gpu, ...]:
    """Every GPU that the driver lists. BackendError."""
    with opened() as nvml:
        try:
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            raise BackendError(f"NVML: {error}") from None
        return tuple(_describe(nvml, handle) for handle in handles)


def _describe(nvml: Any, handle: Any) -> Gpu:
    def ask(name: str) -> Any:
        """The answer to one query; None if the GPU does not support it, as on some Jetsons."""
        try:
            return getattr(nvml, name)(handle)
        except nvml.NVMLError:
            return None

    memory, millijoules = ask("nvmlDeviceGetMemoryInfo"), ask("nvmlDeviceGetTotalEnergyConsumption")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    return Gpu(
        _text(ask("nvmlDeviceGetName") or "unnamed"),
        ".".join(map(str, capability)) if capability else "",
        int(memory.total) if memory else None,
        int(memory.used) if memory else None,
        millijoules / 1000 if millijoules is not None else None,
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
