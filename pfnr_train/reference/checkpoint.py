"""A checkpoint file of the reference implementation, loaded without running any code in it.

Such a file is a PyTorch zip archive. It is mapped rather than read, unpickled with `weights_only`, and nothing is
copied before its shape has been checked against the user's flags: a file that claims huge tensors costs nothing.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pfnr_runtime.errors import PfnrError
from pfnr_runtime.system.regular_file import require_regular

# A full checkpoint of seventeen 720p videos, masks and optimiser included, has about 8 GB.
DEFAULT_MAX_BYTES = 16 << 30
MAX_PICKLE_BYTES = 4 << 20  # the structure without its tensors; real ones have a few kilobytes
MAX_ENTRIES = 100_000
MAX_TASKS = 4096

Mask = Tensor | list[Tensor]


class CheckpointError(PfnrError):
    """A checkpoint that is damaged, hostile, or not what its flags say."""


@dataclass(frozen=True)
class ReferenceCheckpoint:
    """What is taken from a file. Tensors are views of the mapped file: check shapes before copying.

    - path: the file.
    - state: the network's tensors by name.
    - masks: by task, then by name; a list of two for the bands of a Fourier block, absent where the file has None.
    - names: of the tasks, where the file says.
    - epochs: how long the last task was trained, 0 if not said.
    """

    path: Path
    state: dict[str, Tensor]
    masks: dict[int, dict[str, Mask]]
    names: dict[int, str]
    epochs: int


def load_checkpoint(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> ReferenceCheckpoint:
    """Read the file at `path`; a CheckpointError says what is wrong with it and what to do. Raises OSError."""
    _check_archive(path, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch about what a hostile file asks for
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_unpickling_problem(path, str(error))) from None
    except Exception as error:  # a hostile file raises whatever it likes
        reason = str(error).strip() if all(isinstance(part, str) for part in error.args) else ""
        said = reason.splitlines()[0][:200] if reason else type(error).__name__
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({said}); copy it again") from None
    return _parse(path, value)


def _check_archive(path: Path, max_bytes: int) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the .pth file in it")
    size = require_regular(path)
    if size > max_bytes:
        raise CheckpointError(
            f"{path} has {size:,} bytes, over the limit of {max_bytes:,}; if you trust it, allow more with "
            f"`max_bytes={size}`"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error):
        raise CheckpointError(
            f"{path} is damaged, or not a checkpoint of PyTorch 1.6 or newer; if it is an older one, load it and "
            "torch.save it again with a newer PyTorch"
        ) from None
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"{path}: an archive of {len(entries):,} parts is not a checkpoint")
    for entry in entries:
        # PyTorch stores parts uncompressed; a compressed one may unpack to any size.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
            raise CheckpointError(
                f"{path}: its part {entry.filename[:100]!r} is compressed, which PyTorch never does; get the "
                "checkpoint from where it was trained"
            )
        if entry.filename.endswith("/data.pkl") and entry.file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"{path}: a structure of {entry.file_size:,} bytes is no checkpoint's")
    _check_sums(path)


def _check_sums(path: Path) -> None:
    """A CheckpointError unless every part has the checksum that the archive gives: PyTorch does not look."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged ({str(error)[:200]}); copy it again") from None
    if damaged is not None:
        raise CheckpointError(f"{path}: its part {damaged[:100]!r} does not have its checksum; copy it again")


def _shown(value: Any) -> str:
    """A value in a message; never long, never slow, whatever it holds."""
    if isinstance(value, str):
        return repr(value[:60])
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 200):
        return repr(value)
    return f"a {type(value).__name__}"


def _unpickling_problem(path: Path, message: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", message)
    what = found[1] if found else message.strip().splitlines()[-1][:150] if message.strip() else "not said"
    return (
        f"{path} holds something other than tensors and plain values ({what}), which could run code when loaded; "
        "save only state_dict, per_task_masks and taskcla with torch.save and import that"
    )


def _parse(path: Path, value: Any) -> ReferenceCheckpoint:
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, not the dictionary of a checkpoint")
    state = _part(path, value, "state_dict")
    tasks = _part(path, value, "per_task_masks")
    if not state or len(tasks) > MAX_TASKS:
        raise CheckpointError(f"{path}: {len(state)} tensors and {len(tasks)} tasks are no checkpoint's")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: state_dict[{_shown(name)}] is a {type(tensor).__name__}, not a tensor")
    masks = {_task_number(path, task): _parse_masks(path, task, given) for task, given in tasks.items()}
    epochs = value.get("epoch", 0)
    return ReferenceCheckpoint(
        path,
        {_plain(name): tensor for name, tensor in state.items()},
        masks,
        _task_names(path, value.get("taskcla", [])),
        epochs if type(epochs) is int and 0 <= epochs < 1 << 31 else 0,
    )


def _plain(name: str) -> str:
    # Wrapped for several GPUs, every name starts with `module.`.
    return name.removeprefix("module.")


def _part(path: Path, value: dict[Any, Any], name: str) -> dict[Any, Any]:
    part = value.get(name)
    if not isinstance(part, dict):
        known = ", ".join(sorted(_shown(key) for key in islice(value, 20)))
        raise CheckpointError(
            f"{path} has no {name}; it is no model_task*_val_best.pth of the reference code (it has {known})"
        )
    return part


def _task_number(path: Path, task: Any) -> int:
    if type(task) is not int or not 0 <= task < MAX_TASKS:
        raise CheckpointError(f"{path}: per_task_masks has a task {_shown(task)}; tasks are numbers from 0")
    return task


def _parse_masks(path: Path, task: Any, given: Any) -> dict[str, Mask]:
    if not isinstance(given, dict):
        raise CheckpointError(f"{path}: the masks of task {task} are a {type(given).__name__}, not by name")
    masks: dict[str, Mask] = {}
    for name, mask in given.items():
        if isinstance(mask, (list, tuple)):
            if all(part is None for part in mask):
                continue
            mask = list(mask)
        parts = mask if isinstance(mask, list) else [mask]
        if mask is None:
            continue
        if not isinstance(name, str) or not all(isinstance(part, Tensor) for part in parts):
            raise CheckpointError(f"{path}: mask {_shown(name)} of task {task} is not a tensor")
        masks[_plain(name)] = mask
    return masks


def _task_names(path: Path, tasks: Any) -> dict[int, str]:
    if not isinstance(tasks, (list, tuple)):
        raise CheckpointError(f"{path}: taskcla is a {type(tasks).__name__}, not a list of (number, name)")
    names = {}
    for task in tasks:
        match task:
            case (int(number), str(name)):
                names[number] = name
            case _:
                raise CheckpointError(f"{path}: taskcla has {_shown(task)} where (number, name) belongs")
    return names
