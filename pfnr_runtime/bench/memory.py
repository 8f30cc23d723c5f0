"""Memory of this process as the system counts it, and of the GPU if there is one."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def resident_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not report it (other than Linux)."""
    return _status("VmRSS")


def peak_bytes() -> int | None:
    """The peak resident memory of this process; None where the system does not report it.

    Not `getrusage`, whose peak is inherited from the parent process.
    """
    return _status("VmHWM")


def gpu_used_bytes() -> int | None:
    """Memory in use on the GPU by all processes; None without a GPU or cuda-bindings.

    Other programs count too: only the difference, on an otherwise idle GPU, tells what an engine uses.
    """
    from pfnr_runtime.backends.device.cuda import device_missing, open_device

    return open_device().used_memory() if device_missing() is None else None


def _status(name: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
