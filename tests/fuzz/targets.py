"""The targets by name."""

from __future__ import annotations

from fuzz import artifacts, server, trainer_files
from fuzz.target import Prepare

TARGETS: dict[str, Prepare] = {
    "library": trainer_files.library,
    "training-state": trainer_files.training_state,
    "checkpoint": trainer_files.checkpoint,
    "sequence": trainer_files.sequence,
    "clip": trainer_files.clip,
    "onnx": artifacts.onnx,
    "packed": artifacts.packed,
    "coded": artifacts.coded,
    "golden": artifacts.golden,
    "sidecar": artifacts.sidecar,
    "contract": artifacts.contracts,
    "engine-cache": artifacts.engine_cache,
    "server": server.server,
}
