"""Library files taken apart and changed, and what reading them says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.numpy

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.file import read_library


def error_of(path: Path) -> str:
    """What is wrong with a library: found when it is opened or, at the latest, when a session is used."""
    with pytest.raises(LibraryError) as caught:
        use_all(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def use_all(path: Path) -> None:
    library = read_library(path)
    for k in range(len(library.sessions)):
        library.session_weights(k)
    library.used()


def parts_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The safetensors header and the bytes that follow it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change our own header and write the file again, its tensors as they were."""
    head, body = parts_of(path)
    ours = json.loads(head["__metadata__"]["pfnr"])
    change(ours)
    put(path, head, json.dumps(ours), body)


def put(path: Path, head: dict[str, Any], ours: str, body: bytes) -> None:
    head["__metadata__"]["pfnr"] = ours
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def tensors_of(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    head, _ = parts_of(path)
    return dict(safetensors.numpy.load_file(path)), head["__metadata__"]
