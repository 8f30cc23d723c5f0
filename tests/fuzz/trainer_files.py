"""Targets: what the trainer reads."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from helpers.canvas_sessions import canvas_library
from helpers.checkpoints import Shape, make_checkpoint
from helpers.clips import write_lossless, write_video
from helpers.libraries import made_clip, made_library, small_config
from helpers.library_files import use_all

from fuzz.formats import Parts, mutate_safetensors, mutate_zip, safetensors_bytes
from fuzz.mutate import mutate_bytes, mutate_text
from fuzz.target import Ready
from pfnr_runtime.errors import PfnrError
from pfnr_train.clips import read_clip
from pfnr_train.library.digests import Digest, typed_digest
from pfnr_train.library.file import library_bytes
from pfnr_train.reference.checkpoint import load_checkpoint
from pfnr_train.reference.convert import import_checkpoint
from pfnr_train.reference.flags import ReferenceFlags
from pfnr_train.run.state_fit import check_fit
from pfnr_train.run.training_state import METADATA_KEY, Identity, SavedState, read_state, write_state
from pfnr_train.sequence.sequence import read_sequence
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.training import SessionTraining

RECIPE = Recipe(epochs=4, batch=2, density=0.4)
FRAMES = 5
SEQUENCES = Path(__file__).parents[2] / "benchmarks" / "sequences"


def library(folder: Path) -> Ready:
    """Opens a library and materialises each of its sessions."""
    path = folder / "l.pfnr"
    seeds = [library_bytes(made_library(small_config("concat"), 2)), library_bytes(canvas_library(3))]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        use_all(path)

    return Ready(seeds, read, mutate_safetensors)


def training_state(folder: Path) -> Ready:
    """Reads the state of an interrupted training, and compares it with a fresh one."""
    path, made = folder / "l.pfnr.2.training", made_library(small_config("add", bias=True), 2)
    clip = made_clip(made.config, 7, FRAMES)
    table = np.random.default_rng(1).uniform(-1, 1, (FRAMES, 160)).astype(np.float32)

    def training() -> SessionTraining:
        return SessionTraining(made.config, made.weights, made.used(), clip.frames, table, RECIPE, 2)

    begun, fresh = training(), training()
    for result in begun.run():
        if result.step == 3:
            break
    write_state(SavedState(Identity.of(made, clip, RECIPE), {}, 3, 12, begun.state_dict()), path)
    seed = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        state = read_state(path)
        try:
            check_fit(state.tree, fresh)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:  # as the trainer does
            raise PfnrError(" ".join(str(error).split())) from None

    return Ready([seed], read, lambda data, chance: mutate_safetensors(data, chance, _with_digest))


def _with_digest(parts: Parts) -> Parts:
    header, body = parts
    about = json.loads(header["__metadata__"][METADATA_KEY])
    about.pop("sha256", None)
    tensors = safetensors.torch.load(safetensors_bytes(header, body))
    about["sha256"] = Digest().add_json(about).add_json(typed_digest(tensors)).hex()
    header["__metadata__"][METADATA_KEY] = json.dumps(about)
    return header, body


def checkpoint(folder: Path) -> Ready:
    """Imports a checkpoint of the reference implementation."""
    shape, path = Shape(), folder / "c.pth"
    torch.save(make_checkpoint(shape), path)
    flags = ReferenceFlags(shape.grid, shape.channels, shape.strides, shape.base, shape.levels)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        import_checkpoint(load_checkpoint(path), flags, (4,) * shape.tasks, fps=Fraction(25))

    return Ready([path.read_bytes()], read, mutate_zip)


def sequence(folder: Path) -> Ready:
    """Reads the TOML file of a sequence of videos."""
    path = folder / "s.toml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_sequence(path)

    return Ready([file.read_bytes() for file in sorted(SEQUENCES.glob("uvg8*.toml"))], read, mutate_text)


def clip(folder: Path) -> Ready:
    """Reads a clip: FFmpeg decodes, and what it says of the file is believed only within limits."""
    seeds = [
        write_lossless(folder / "a.mkv", 4).read_bytes(),
        write_video(folder / "a.mp4", 4, pts=[0, 40, 50, 400]).read_bytes(),
    ]
    path = folder / "clip.mkv"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_clip(path, slice(0, 4))

    return Ready(seeds, read, mutate_bytes)
