"""From a reference checkpoint to a library: the same numbers in our layout, one session per task."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.record import VideoRecord
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import BlockShape
from pfnr_train.reference.checkpoint import CheckpointError, Mask, ReferenceCheckpoint
from pfnr_train.reference.embedding import reference_scalar, reference_time_table
from pfnr_train.reference.flags import ReferenceFlags
from pfnr_train.reference.layout import FC, ReferenceLayout, conv_name, expected_shapes, find_layout, fourier_name

Array = NDArray[np.float32]
Find = Callable[[str], Tensor]


def import_checkpoint(
    checkpoint: ReferenceCheckpoint,
    flags: ReferenceFlags,
    frames: tuple[int, ...],
    names: tuple[str, ...] | None = None,
    fps: Fraction = Fraction(25),
) -> Library:
    """The library of a checkpoint, with one session for each task that has masks.

    frames: how many each session has. names: of the sessions, None for the checkpoint's. A CheckpointError or
    UsageError names what is wrong.
    """
    layout = find_layout(checkpoint, flags)
    sessions = _session_count(checkpoint, layout, frames)
    records = _records(checkpoint, layout, frames, _session_names(checkpoint, sessions, names), fps)
    weights = _in_our_layout(layout, lambda name: _weight(checkpoint.state[name], name))
    library = Library(layout.config, weights)
    return replace(
        library, sessions=tuple(_session(checkpoint, layout, library, task, r) for task, r in enumerate(records))
    )


def _session_count(checkpoint: ReferenceCheckpoint, layout: ReferenceLayout, frames: tuple[int, ...]) -> int:
    tasks = sorted(checkpoint.masks)
    if not tasks or tasks != list(range(len(tasks))):
        missing = next((t for t in range(len(tasks)) if t not in checkpoint.masks), 0)
        raise CheckpointError(f"{checkpoint.path}: per_task_masks lacks task {missing} (it has {tasks[:20]})")
    if len(tasks) > layout.tasks:
        raise CheckpointError(
            f"{checkpoint.path}: masks of {len(tasks)} tasks and {layout.tasks} heads; a task has one of each"
        )
    if len(frames) != len(tasks):
        raise UsageError(
            f"--frames gives {len(frames)} counts and the checkpoint holds {len(tasks)} trained videos"
            f"{_listed(checkpoint, len(tasks))}; give one count each, in this order"
        )
    return len(tasks)


def _listed(checkpoint: ReferenceCheckpoint, count: int) -> str:
    known = [checkpoint.names[t] for t in range(count) if t in checkpoint.names]
    return f" ({', '.join(known)})" if known else ""


def _session_names(
    checkpoint: ReferenceCheckpoint, sessions: int, names: tuple[str, ...] | None
) -> tuple[str, ...]:
    if names is None:
        found = [checkpoint.names.get(task, f"task-{task}") for task in range(sessions)]
        clean = [re.sub(r"[\x00-\x1f]", "", name).strip()[:150] or f"task-{i}" for i, name in enumerate(found)]
        clean = [f"video-{name}" if name.isdecimal() else name for name in clean]
        for task in range(sessions):
            base, count = clean[task], 2
            while clean[task] in clean[:task]:
                clean[task], count = f"{base}-{count}", count + 1
        return tuple(clean)
    if len(names) != sessions:
        raise UsageError(
            f"--names gives {len(names)} names and the checkpoint holds {sessions} trained videos"
            f"{_listed(checkpoint, sessions)}; give one name each, in this order"
        )
    for name in names:
        if names.count(name) > 1 or name.isdecimal():
            raise UsageError(f"--names: {name!r} is given twice or is a number; names must differ")
    return names


def _records(
    checkpoint: ReferenceCheckpoint,
    layout: ReferenceLayout,
    frames: tuple[int, ...],
    names: tuple[str, ...],
    fps: Fraction,
) -> list[SessionRecord]:
    width, height = layout.config.size
    records = []
    for task, (count, name) in enumerate(zip(frames, names, strict=True)):
        try:
            video = VideoRecord(name, count, width, height, fps)
        except ValueError as error:
            raise UsageError(str(error)) from None
        records.append(
            SessionRecord(
                video=video,
                scalar=reference_scalar(task, layout.tasks),
                density=1.0,
                seed=0,
                epochs=checkpoint.epochs,
                psnr=None,
                ms_ssim=None,
                source_path="",
                source_sha256="",
                weights_sha256="",
            )
        )
    return records


def _session(
    checkpoint: ReferenceCheckpoint,
    layout: ReferenceLayout,
    library: Library,
    task: int,
    record: SessionRecord,
) -> Session:
    config = layout.config
    _check_masks(checkpoint, layout, task)
    found = _in_our_layout(layout, lambda name: _mask(checkpoint.masks[task], name, task))
    kept = sum(int(mask.sum()) for mask in found.values())
    if kept == 0:
        raise CheckpointError(f"the masks of task {task} ({record.video.name}) keep no weight at all")
    masks = {name: np.packbits(mask.astype(np.bool_)) for name, mask in found.items()}
    head = {"weight": _weight(checkpoint.state[f"head_layers.{task}.weight"], "head").reshape(3, -1).numpy()}
    if config.bias:
        head["bias"] = _weight(checkpoint.state[f"head_layers.{task}.bias"], "head").numpy()
    table = reference_time_table(record.video.frames, task, layout.tasks, config.embed_base, config.embed_levels)
    record = replace(record, density=kept / sum(mask.size for mask in found.values()))
    session = Session(record, SharedValues(masks, head, table))
    digest = weights_digest(replace(library, sessions=(session,)).assemble(0))
    return replace(session, record=replace(record, weights_sha256=digest))


def _in_our_layout(layout: ReferenceLayout, find: Find) -> dict[str, Array]:
    """Every tensor of `ModelConfig.tensor_shapes`, from what `find` gives for the file's names."""
    config = layout.config
    tensors: dict[str, Array] = {}
    kinds = ("weight", "bias") if config.bias else ("weight",)
    for kind in kinds:
        for i, name in enumerate(FC):
            tensors[f"stem.{i}.{kind}"] = find(f"{name}.{kind}").numpy()
    for block in config.blocks():
        for kind in kinds:
            if block.conv_channels:
                tensors[f"block.{block.index}.conv.{kind}"] = find(f"{conv_name(block.index)}.{kind}").numpy()
        if block.fourier_channels:
            name = f"block.{block.index}.fourier.weight"
            tensors[name] = _mixing_matrices(block, layout.modes, find)
    return {name: np.ascontiguousarray(tensors[name]) for name in config.tensor_shapes()}


def _mixing_matrices(block: BlockShape, modes: tuple[int, int], find: Find) -> Array:
    """Two bands of (in, out, m1, m2), real and imaginary, as [K, in, 2·out]; modes it lacks are zero."""
    (m1, m2), (own1, own2), O = block.modes, modes, block.fourier_channels  # noqa: E741
    matrices = np.zeros((2 * m1, m2, block.in_channels, 2 * O), np.float32)
    for band, rows in enumerate((slice(0, own1), slice(2 * m1 - own1, 2 * m1))):
        for part, columns in (("real", slice(0, O)), ("imag", slice(O, 2 * O))):
            tensor = find(f"{fourier_name(block.index)}.weight_{part}.{band}")
            matrices[rows, :own2, :, columns] = tensor.permute(2, 3, 0, 1).numpy()
    return matrices.reshape(block.mode_count, block.in_channels, 2 * O)


def _weight(tensor: Tensor, name: str) -> Tensor:
    """A copy of a float32 tensor of the file; only for shapes already checked."""
    _check_plain(tensor, name)
    if tensor.dtype != torch.float32:
        raise CheckpointError(f"{name} is {tensor.dtype}, not float32; import the checkpoint as it was saved")
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{name} holds values that are not finite; the training it is from has failed")
    return tensor.detach().clone()


def _check_plain(tensor: Tensor, name: str) -> None:
    # A tensor may claim a large shape over a small storage (stride 0): real ones never do.
    if (
        tensor.layout != torch.strided
        or tensor.is_quantized
        or tensor.device.type != "cpu"
        or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size()
    ):
        raise CheckpointError(f"{name} is not a plain tensor with all its values; the file is damaged")


def _check_masks(checkpoint: ReferenceCheckpoint, layout: ReferenceLayout, task: int) -> None:
    """Every mask is there and of its tensor's shape; a CheckpointError names the first that is not."""
    masks = checkpoint.masks[task]
    for name, shape in expected_shapes(layout):
        mask = _find_mask(masks, name)
        if mask is None:
            raise CheckpointError(f"{checkpoint.path}: task {task} has no mask of {name}")
        if tuple(mask.shape) != shape:
            raise CheckpointError(
                f"{checkpoint.path}: task {task}'s mask of {name} has shape {'x'.join(map(str, mask.shape))}, its "
                f"tensor {'x'.join(map(str, shape))}"
            )


def _find_mask(masks: dict[str, Mask], name: str) -> Tensor | None:
    """The mask of a tensor: by its own name, or in the list of two of a Fourier block."""
    group, _, band = name.rpartition(".")
    if band.isdecimal():
        found = masks.get(group)
        return found[int(band)] if isinstance(found, list) and int(band) < len(found) else None
    found = masks.get(name)
    return found if isinstance(found, Tensor) else None


def _mask(masks: dict[str, Mask], name: str, task: int) -> Tensor:
    mask = _find_mask(masks, name)
    assert mask is not None  # checked by `_check_masks`
    _check_plain(mask, f"task {task}'s mask of {name}")
    if mask.is_complex() or not bool(((mask == 0) | (mask == 1)).all()):
        raise CheckpointError(f"task {task}'s mask of {name} has values other than 0 and 1")
    return mask.detach().to(torch.float32)
