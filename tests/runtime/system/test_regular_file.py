"""Readers refuse devices and named pipes, which would block them forever, by name and at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tiny_artifacts import contract

from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.open import examine_artifact
from pfnr_runtime.artifact.sidecar import read_record
from pfnr_runtime.errors import PfnrError
from pfnr_train.clips import read_clip
from pfnr_train.library.file import read_library
from pfnr_train.reference.checkpoint import load_checkpoint
from pfnr_train.run.training_state import read_state
from pfnr_train.sequence.sequence import read_sequence

READERS: dict[str, Callable[[Path], object]] = {
    "v.onnx": examine_artifact,
    "v.pfnv": examine_artifact,
    "v.golden": lambda path: read_golden(path, contract()),
    "v.0.safetensors": read_record,
    "library.pfnr": read_library,
    "library.pfnr.0.training": read_state,
    "model.pth": load_checkpoint,
    "sequence.toml": read_sequence,
    "clip.mp4": read_clip,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_refused_at_once(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((PfnrError, OSError), match=r"pipe|not a file|not an ordinary file") as refused:
        READERS[name](path)
    assert str(path) in str(refused.value)
