"""Everything the doctor finds, as plain values for JSON and as lines to print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pfnr_runtime import __version__
from pfnr_runtime.doctor import machine
from pfnr_runtime.doctor.jetson import Jetson, find_jetson
from pfnr_runtime.doctor.packages import Found, installed
from pfnr_runtime.doctor.trial import RIGHT, WRONG, Trial, try_engines


@dataclass(frozen=True)
class Findings:
    """What is installed and what works. The dictionaries are those of `pfnr_runtime.doctor.machine`."""

    system: dict[str, Any]
    packages: tuple[Found, ...]
    gpu: dict[str, Any]
    jetson: Jetson | None
    display: dict[str, Any]
    engine_cache: dict[str, Any]
    codecs: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def exit_code(self) -> int:
        """0 if an engine decodes correctly and none wrongly, 3 if one decodes wrongly, 4 if none decodes."""
        states = {trial.state for trial in self.trials}
        return 3 if WRONG in states else 0 if RIGHT in states else 4

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "pfnr": __version__,
            "system": self.system,
            "packages": {found.name: found.version for found in self.packages},
            "gpu": self.gpu,
            "jetson": None if self.jetson is None else asdict(self.jetson),
            "display": self.display,
            "engine_cache": self.engine_cache,
            "codecs": self.codecs,
            "engines": {trial.backend: trial.to_json() for trial in self.trials},
            "exit_code": self.exit_code,
        }


def examine() -> Findings:
    """Examine the machine and decode on every engine. Builds a small engine where TensorRT is installed."""
    return Findings(
        machine.system(),
        installed(),
        machine.gpu(),
        find_jetson(),
        machine.display(),
        machine.engine_cache(),
        machine.codecs(),
        try_engines(),
    )


def lines(findings: Findings) -> Iterator[tuple[str, str]]:
    """Label and text of each line."""
    system = findings.system
    yield "pfnr", f"{__version__}, Python {system['python']}, {system['system']} {system['architecture']}"
    yield "processor", f"{system['processor']}, {system['processors']} for this process"
    yield from (("jetson", findings.jetson.text),) if findings.jetson else ()
    yield from (("gpu", text) for text in _gpu(findings.gpu))
    yield "display", _display(findings.display)
    yield "engines", _cache(findings.engine_cache)
    yield "codecs", _codecs(findings.codecs)
    for found in findings.packages:
        yield "package", f"{found.name}: {found.text}"
    for trial in findings.trials:
        yield "engine", f"{trial.backend}: {trial.state}: {trial.text}"


def _gpu(gpu: dict[str, Any]) -> Iterator[str]:
    if "name" in gpu:
        memory = f", {gpu['memory_bytes'] / 1e9:.1f} GB" if gpu.get("memory_bytes") else ""
        cuda = f", CUDA {gpu['cuda_driver']} (bindings {gpu['cuda_runtime']})" if "cuda_driver" in gpu else ""
        driver = f", driver {gpu['driver']}" if "driver" in gpu else ""
        yield f"{gpu['name']}, compute capability {gpu['compute_capability']}{memory}{driver}{cuda}"
    if "driver_unknown" in gpu:
        yield f"driver version unknown: {gpu['driver_unknown']}"
    if "missing" in gpu:
        yield f"none for decoding: {gpu['missing']}"


def _display(display: dict[str, Any]) -> str:
    return display.get("missing") or f"{', '.join(display['displays'])} through {display['driver']}"


def _cache(cache: dict[str, Any]) -> str:
    if "problem" in cache:
        return f"{cache['folder'] or 'none'}: {cache['problem']}"
    if not cache["exists"]:
        return f"{cache['folder']}: not there yet; the first TensorRT engine makes it"
    return f"{cache['folder']}: {cache['engines']} kept, {cache['bytes'] / 1e6:.1f} MB, mode {cache['mode']}"


def _codecs(codecs: dict[str, Any]) -> str:
    if "missing" in codecs:
        return str(codecs["missing"])
    able = [name for name, can in codecs["writes"].items() if can]
    unable = [name for name, can in codecs["writes"].items() if not can]
    without = f"; not {', '.join(unable)}: this build of PyAV has no encoder" if unable else ""
    return f"writes {', '.join(able)}{without} (libavcodec {codecs['libavcodec']})"
