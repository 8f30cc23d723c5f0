"""The two engine libraries, `tensorrt` and `tensorrt_rtx`, and what they can do.

Their Python interfaces are alike. Where versions differ, code tests for the feature (`hasattr`), never the version
number: that is for messages and the engine cache's key.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.errors import BackendError

# Messages kept for error texts; a build can log thousands.
KEPT_MESSAGES = 50


@dataclass(frozen=True)
class Flavour:
    """One engine library: the backend's name, the module to import, the display name, and the extra.

    hint: advice where the module is missing. timing_cache: whether the builder measures kernels, so that keeping
    its measurements makes the next build faster.
    """

    name: str
    module: str
    title: str
    extra: str
    hint: str = ""
    timing_cache: bool = True


TENSORRT = Flavour(
    "tensorrt",
    "tensorrt",
    "TensorRT",
    "pfnr[tensorrt]",
    " (on a Jetson it comes with JetPack: make the virtual environment with --system-site-packages)",
)
TENSORRT_RTX = Flavour("tensorrt-rtx", "tensorrt_rtx", "TensorRT-RTX", "pfnr[rtx]", timing_cache=False)
FLAVOURS = (TENSORRT, TENSORRT_RTX)


@dataclass(frozen=True)
class EngineLibrary:
    """An imported engine library: its module, full version, flavour, and the logger that its objects share."""

    trt: Any
    flavour: Flavour
    version: str
    log: EngineLog
    logger: Any

    def __str__(self) -> str:
        return f"{self.flavour.title} {self.version}"


class EngineLog:
    """The library's latest errors and warnings, for one-line messages."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def add(self, serious: bool, message: str) -> None:
        """Keep a message; the oldest go first."""
        kept = self.errors if serious else self.warnings
        kept.append(" ".join(message.split()))
        del kept[:-KEPT_MESSAGES]

    def clear(self) -> None:
        """Forget everything, before a call whose messages matter."""
        self.errors.clear()
        self.warnings.clear()

    def reason(self) -> str:
        """The first error since `clear`, else the last warning, at most 300 characters, with advice if known."""
        text = self.errors[0] if self.errors else self.warnings[-1] if self.warnings else "no reason given"
        text = text if len(text) <= 300 else text[:297] + "..."
        whole = " ".join(self.errors).lower()
        if "out of memory" in whole or "outofmemory" in whole or "cudaerrormemoryallocation" in whole:
            return f"{text}; the GPU is out of memory: close other programs, or use smaller batches"
        return text


def missing(flavour: Flavour) -> str | None:
    """Why a library cannot be imported here, or None; checked without loading hundreds of megabytes."""
    for module, what in ((flavour.module, flavour.module), ("cuda.bindings", "cuda-bindings")):
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            return f"{what} is not installed{flavour.hint if module == flavour.module else ''}"
    return None


@functools.cache
def load_library(flavour: Flavour) -> EngineLibrary:
    """Import an engine library, once per process; a BackendError says why it cannot be."""
    try:
        trt = importlib.import_module(flavour.module)
    except Exception as error:  # without libnvinfer the library raises whatever its loader raises
        text = " ".join(str(error).split())[:300]
        raise BackendError(
            f"{flavour.module} cannot be imported ({text}){flavour.hint}; "
            f"install it with: pip install '{flavour.extra}'"
        ) from None
    log = EngineLog()
    return EngineLibrary(trt, flavour, str(trt.__version__), log, _make_logger(trt, log))


def _make_logger(trt: Any, log: EngineLog) -> Any:
    serious = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Collects errors and warnings for error messages, and prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in serious or severity == trt.ILogger.Severity.WARNING:
                log.add(severity in serious, message)

    return Logger()
