"""The machine: processor, GPU, display, engine folder, and what FFmpeg can write here."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path
from typing import Any

from pfnr_runtime.errors import BackendError


def system() -> dict[str, Any]:
    """Operating system, processor and Python."""
    from pfnr_runtime.backends.onnxruntime_cpu import available_cpus

    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": processor(),
        "processors": available_cpus(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The processor's own name, or its architecture where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpu() -> dict[str, Any]:
    """The GPU that decoding would use, or `missing`: why there is none. `driver` only where NVML is installed."""
    from pfnr_runtime.backends.device import nvml
    from pfnr_runtime.backends.device.cuda import device_missing, driver_missing, open_device

    if reason := driver_missing():
        return {"missing": reason}
    found: dict[str, Any] = {}
    try:
        found["driver"] = nvml.driver_version()
        first = nvml.gpus()[0]
        found |= {"name": first.name, "compute_capability": first.capability, "memory_bytes": first.memory}
    except (BackendError, IndexError) as error:
        found["driver_unknown"] = str(error)
    if reason := device_missing():
        return found | {"missing": reason}
    info = open_device().info
    return found | {
        "name": info.name,
        "compute_capability": info.capability,
        "cuda_driver": info.driver,
        "cuda_runtime": info.runtime,
        "memory_bytes": info.memory,
    }


def display() -> dict[str, Any]:
    """The displays on which a window can open, or `missing`: why there is none."""
    from pfnr_runtime.playback.window import list_displays

    try:
        driver, sizes = list_displays()
    except BackendError as error:
        return {"missing": str(error)}
    return {"driver": driver, "displays": [f"{width}×{height}" for width, height in sizes]}


def engine_cache() -> dict[str, Any]:
    """The folder of TensorRT engines: path, mode, contents, and `problem` if it cannot be used.

    It is not created here: building a TensorRT engine creates it.
    """
    from pfnr_runtime.backends.trt.engine_cache import default_folder

    try:
        folder = default_folder()
    except BackendError as error:
        return {"folder": None, "exists": False, "problem": str(error)}
    found: dict[str, Any] = {"folder": str(folder), "exists": folder.is_dir()}
    if not found["exists"]:
        parent = next(above for above in folder.parents if above.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            found["problem"] = f"{parent} cannot be written to; set XDG_CACHE_HOME to another folder"
        return found
    status = folder.stat()
    found["mode"] = f"{stat.S_IMODE(status.st_mode):04o}"
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        found["problem"] = "belongs to another user; set XDG_CACHE_HOME to another folder"
        return found
    if not os.access(folder, os.W_OK | os.X_OK):
        found["problem"] = f"cannot be written to; chmod 700 {folder}"
        return found
    found["engines"] = len(list(folder.glob("*.engine")))
    found["bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return found


def codecs() -> dict[str, Any]:
    """Which codecs of `pfnr-decode --codec` this PyAV writes, by name, and FFmpeg's versions and devices."""
    try:
        import av
        from av.codec.hwaccel import hwdevices_available
    except ImportError as error:
        return {"missing": f"PyAV cannot be imported ({error}); pip install av"}
    from pfnr_runtime.sinks.video_codecs import CODECS

    version = av.library_versions.get("libavcodec", ())
    return {
        "libavcodec": ".".join(map(str, version)),
        "writes": {name: codec.encoder in av.codecs_available for name, codec in CODECS.items()},
        "hardware_decoders_built_in": list(hwdevices_available()),
    }
