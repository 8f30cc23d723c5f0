"""Artifacts changed by somebody who writes the whole file again, so that it agrees with itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from pfnr_runtime.artifact.onnx.seal import SEAL_KEY, seal


def tamper(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Apply `change` to the model at `path` and seal it again."""
    model = onnx.load(path)
    kept = [entry for entry in model.metadata_props if entry.key != SEAL_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    change(model)
    path.write_bytes(seal(model.SerializeToString(deterministic=True)))
