"""Which packages are installed, by their metadata: nothing is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """A package that pfnr uses.

    - module: what is imported.
    - names: of the distributions that may provide it.
    - purpose: in words.
    - install: how to get it, empty for what playback does not need.
    """

    module: str
    names: tuple[str, ...]
    purpose: str
    install: str = ""


@dataclass(frozen=True)
class Found:
    """A wanted package as found. version: None where it is missing, 'unknown' where its metadata does not say."""

    wanted: Wanted
    name: str
    version: str | None

    @property
    def text(self) -> str:
        """The version, or how to install it."""
        if self.version is not None:
            return self.version if self.name == self.wanted.names[0] else f"{self.version} ({self.name})"
        advice = f"; {self.wanted.install}" if self.wanted.install else ""
        return f"not installed, for {self.wanted.purpose}{advice}"


def _extra(name: str) -> str:
    return f"pip install 'pfnr[{name}]'"


PACKAGES = (
    Wanted("numpy", ("numpy",), "everything", "pip install numpy"),
    Wanted("av", ("av",), "files and pictures", "pip install av"),
    Wanted("onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "decoding on CPUs and GPUs", _extra("ort")),
    Wanted(
        "tensorrt",
        ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
        "Jetsons and servers",
        f"{_extra('tensorrt')}; on a Jetson it comes with JetPack: sudo apt install nvidia-jetpack",
    ),
    Wanted("tensorrt_rtx", ("tensorrt-rtx",), "GeForce and RTX cards", _extra("rtx")),
    Wanted(
        "cuda.bindings", ("cuda-bindings",), "TensorRT", f"{_extra('tensorrt')}, on a Jetson {_extra('jetson')}"
    ),
    Wanted("pynvml", ("nvidia-ml-py",), "a GPU's driver version and energy", "pip install nvidia-ml-py"),
    Wanted("pygame", ("pygame-ce", "pygame"), "a window", _extra("play")),
    Wanted("torch", ("torch",), "training and export alone"),
    Wanted("onnx", ("onnx",), "export alone"),
)


def installed() -> tuple[Found, ...]:
    """Every package of `PACKAGES`: whether it is installed, and in which version."""
    return tuple(_find(wanted) for wanted in PACKAGES)


def _find(wanted: Wanted) -> Found:
    try:
        present = importlib.util.find_spec(wanted.module) is not None
    except (ImportError, ValueError):  # a missing parent package, or a removed module
        present = False
    if not present:
        return Found(wanted, wanted.names[0], None)
    for name in wanted.names:
        try:
            return Found(wanted, name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return Found(wanted, wanted.names[0], "unknown")
