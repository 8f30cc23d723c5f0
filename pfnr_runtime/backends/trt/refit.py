"""Refit: exchanging the constants of an engine, so that one engine decodes session after session.

The engine is built from a shared graph whose masked weights and head are constants
(`lifted_graph.with_constants`), with the flag REFIT, so that convolutions arrange their kernels once a switch and
not in every run. The flag REFIT_IDENTICAL is never used: with other weights its behaviour is undefined.

Whatever refuses or fails here leaves an engine of which nobody knows what it computes. It must not run again:
the caller closes it and goes on with session inputs (`switching.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.lifted_graph import LiftedGraph, with_constants
from pfnr_runtime.artifact.onnx.file import ValueInfo
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.trt.api import Library
from pfnr_runtime.errors import BackendError


def refit_missing(library: Library) -> str | None:
    """Why a library cannot refit engines, or None."""
    trt = library.trt
    if not hasattr(trt, "Refitter") or not hasattr(trt.BuilderFlag, "REFIT"):
        return f"{library} has no refit"
    return None


def refit_model(
    lifted: LiftedGraph, inputs: tuple[ValueInfo, ...], sidecar: Sidecar
) -> tuple[bytes, frozenset[str]]:
    """A shared graph with its masks taken out and what a session has at a fixed size stored in it; its names too.

    inputs: of the shared graph. The values are no session's: the first refit changes every one, so that a refit
    which does not shows in the frames.
    """
    fixed = {value.name for value in inputs if all(isinstance(size, int) for size in value.shape)}
    arrays = {name: -tensor for name, tensor in sidecar.tensors.items() if name in fixed}
    arrays |= {w.masked: w.data.copy().view(np.float32).reshape(w.shape) for w in lifted.weights}
    return with_constants(lifted.model, arrays), frozenset(arrays)


class EngineRefit:
    """Exchanges the constants called `names` of one engine. A BackendError if it was not built for that."""

    def __init__(self, library: Library, engine: Any, names: frozenset[str]) -> None:
        self._library, self._names = library, names
        if not engine.refittable:
            raise BackendError(f"{library} built an engine that cannot be refitted")
        self._refitter = self._ask(lambda: library.trt.Refitter(engine, library.logger))
        if self._refitter is None:
            raise BackendError(f"{library} cannot refit the engine: {library.log.reason()}")
        known = set(self._ask(lambda: self._refitter.get_all_weights()))
        if lacking := sorted(names - known):
            raise BackendError(
                f"{library} folded {len(lacking)} of the engine's weights into others ({lacking[0]} is first), so "
                "they cannot be exchanged"
            )

    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Make these the engine's constants, all of its names at once; no run may be under way.

        Execution contexts from before must not be used after it. A BackendError leaves an engine that must not
        run again.
        """
        self._library.log.clear()
        refitter, trt = self._refitter, self._library.trt
        held = []  # the refitter reads them when it refits, not before
        for name in sorted(self._names):
            array = np.ascontiguousarray(arrays[name], np.float32)
            held.append(array)
            wanted = self._ask(lambda name=name: refitter.get_weights_prototype(name))
            if wanted.size != array.size or wanted.dtype != trt.DataType.FLOAT:
                raise BackendError(
                    f"{self._library} wants {wanted.size} of {wanted.dtype} for {name}, not {array.size}"
                )
            if not self._ask(lambda name=name, array=array: refitter.set_named_weights(name, trt.Weights(array))):
                raise BackendError(f"{self._library} refuses weights for {name}: {self._library.log.reason()}")
        if missing := self._ask(lambda: refitter.get_missing_weights()):
            raise BackendError(f"{self._library} wants more weights than there are: {sorted(missing)[0]}")
        if not self._ask(lambda: refitter.refit_cuda_engine()):
            raise BackendError(f"{self._library} cannot refit the engine: {self._library.log.reason()}")
        del held

    def close(self) -> None:
        """Let go of the engine. Never raises."""
        self._refitter = None

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:  # the bindings raise different types in different versions
            text = " ".join(str(error).split())[:300]
            raise BackendError(f"{self._library} failed while refitting: {text}") from None
