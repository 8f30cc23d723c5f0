"""The file that lets a session's training go on after its process has ended.

It lies next to the library while session k is being trained, as `<library>.<k>.training`: a safetensors file whose
metadata has one key, `pfnr_training`, with JSON

    {"format_version": 2, "identity": {...}, "machine": {...}, "step": n, "steps": n, "tree": skeleton,
     "sha256": "..."}

and the tensors of `SessionTraining.state_dict` (see `pfnr_train.run.tensor_tree`). The digest is of the tensors
and of everything else in that JSON. No pickle. The identity is all that decides the session's bytes besides the
machine: a state of anything else is refused. Going on with other threads or processes, on another device or with
another PyTorch is allowed, and said, since it moves the last bits.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from pfnr_runtime import __version__
from pfnr_runtime.errors import LibraryError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_train.clips import Clip
from pfnr_train.library.digests import Digest, typed_digest
from pfnr_train.library.file import real_path
from pfnr_train.library.library import Library
from pfnr_train.library.values import KINDS
from pfnr_train.machine.execution import Execution
from pfnr_train.run.tensor_tree import flatten, unflatten
from pfnr_train.session.recipe import Recipe

FORMAT_VERSION = 2
METADATA_KEY = "pfnr_training"
RESTART = "start again with `discard`"


@dataclass(frozen=True)
class Identity:
    """Which training a state belongs to. All values are plain JSON types.

    - version: of pfnr.
    - library: SHA-256 of all in the library that the training depends on.
    - clip: SHA-256 of the frames.
    - network, recipe: every setting by name.
    """

    version: str
    library: str
    clip: str
    network: dict[str, Any]
    recipe: dict[str, Any]

    @classmethod
    def of(cls, library: Library, clip: Clip, recipe: Recipe) -> Identity:
        """The identity of the training of `clip` as the next session of `library`."""
        return cls(
            __version__,
            basis_digest(library, recipe),
            clip.sha256,
            library.config.to_json(),
            _plain(asdict(recipe)),
        )

    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return Digest().add_json(asdict(self)).raw()

    def differences(self, other: Identity) -> str:
        """In words, where the training that was saved (self) is not `other`; empty if nowhere."""
        found = []
        if self.version != other.version:
            found.append(f"pfnr {self.version} saved it and this is pfnr {other.version}")
        if self.clip != other.clip:
            found.append("it is of another clip, or of other frames of it")
        for what, theirs, ours in (
            ("network", self.network, other.network),
            ("recipe", self.recipe, other.recipe),
        ):
            changed = [
                f"{name} is {theirs.get(name)} there and {ours.get(name)} here"
                for name in sorted(theirs.keys() | ours.keys())
                if theirs.get(name) != ours.get(name)
            ]
            if changed:
                found.append(f"its {what} is another: {', '.join(changed)}")
        if self.library != other.library and self.network == other.network:
            found.append("the library's content has changed since")
        return "; ".join(found)


@dataclass(frozen=True)
class SavedState:
    """A state as a file holds it. step of steps: its position. tree: of `SessionTraining.state_dict`."""

    identity: Identity
    machine: dict[str, Any]
    step: int
    steps: int
    tree: Any

    @property
    def epochs(self) -> int:
        """Of the recipe that it was trained by; a LibraryError if the file gives no such number."""
        epochs = self.identity.recipe.get("epochs")
        if type(epochs) is not int or epochs < 1:
            raise LibraryError(f"a training state without a number of epochs; {RESTART}")
        return epochs


def machine_of(execution: Execution) -> dict[str, Any]:
    """What decides the last bits of a training besides its identity."""
    return {
        "device": execution.device,
        "processes": execution.ranks.size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def state_path(library_path: Path, session: int) -> Path:
    """Where the state of session `session` is kept while it is being trained."""
    real = real_path(library_path)
    return real.with_name(f"{real.name}.{session}.training")


def basis_digest(library: Library, recipe: Recipe) -> str:
    """SHA-256 of what the next session's training depends on: everything, or its index and its parents.

    Sessions that own their values need no others, so that none of a thousand is read for the next one.
    """
    if KINDS[recipe.values].uses_pool or library.shares:
        return library_digest(library)
    digest = Digest().add_json([library.config.to_json(), len(library.sessions)])
    parent = library.find(recipe.parent) if recipe.parent else None
    while parent is not None:
        session = library.sessions[parent]
        digest.add_json([parent, session.record.weights_sha256])
        parent = session.values.parent
    return digest.hex()


def library_digest(library: Library) -> str:
    """SHA-256 of everything a library holds: network, pool, and every session's record and values."""
    digest = Digest().add_json(library.config.to_json()).add_named(library.weights)
    for session in library.sessions:
        digest.add_json(session.record.to_json()).add_json([session.values.kind, session.values.facts()])
        digest.add_named(session.values.tensors())
    return digest.hex()


def write_state(state: SavedState, path: Path) -> None:
    """Write a state, atomically. Raises OSError."""
    skeleton, tensors = flatten(state.tree)
    header = {
        "format_version": FORMAT_VERSION,
        "identity": asdict(state.identity),
        "machine": state.machine,
        "step": state.step,
        "steps": state.steps,
        "tree": skeleton,
    }
    header["sha256"] = _digest(header, tensors)
    metadata = {METADATA_KEY: json.dumps(header, sort_keys=True, allow_nan=False)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def read_state(path: Path) -> SavedState:
    """Read a state; a LibraryError if the file is damaged or not one."""
    try:
        require_regular(path)
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[METADATA_KEY])
            if header["format_version"] != FORMAT_VERSION:
                raise LibraryError(
                    f"{path} is of state format {header['format_version']}, and this version of pfnr reads "
                    f"{FORMAT_VERSION}: install a matching pfnr, or {RESTART}"
                )
            # Copies, so that nothing refers to the file, which is about to be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if _digest({key: value for key, value in header.items() if key != "sha256"}, tensors) != header["sha256"]:
            raise ValueError("its bytes are not those that were written")
        identity = Identity(**header["identity"])
        _check_plain(identity)
        tree = unflatten(header["tree"], tensors)
        return SavedState(identity, dict(header["machine"]), header["step"], header["steps"], tree)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LibraryError(f"{path} is not a training state or is damaged ({reason}); {RESTART}") from None


def _digest(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    return Digest().add_json(header).add_json(typed_digest(tensors)).hex()


def _check_plain(identity: Identity) -> None:
    texts = (identity.version, identity.library, identity.clip)
    if not all(isinstance(text, str) for text in texts) or not (
        isinstance(identity.network, dict) and isinstance(identity.recipe, dict)
    ):
        raise ValueError("its identity is not text, a network and a recipe")


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
