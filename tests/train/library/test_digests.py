"""Digests are SHA-256 of what their descriptions say, byte for byte: libraries on disk hold them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from helpers.libraries import made_library, small_config

from pfnr_train.library.digests import Digest, typed_digest, weights_digest
from pfnr_train.run.training_state import library_digest


def sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_digest_of_a_sessions_weights() -> None:
    session = made_library(small_config("concat", bias=True), 2).assemble(1)
    parts = [json.dumps(session.config.to_json(), sort_keys=True).encode()]
    for name in sorted(session.weights):
        folded = np.where(session.masks[name].numpy(), session.weights[name].numpy(), np.float32(0))
        parts += [name.encode(), b"\0", folded.tobytes()]
    for name in sorted(session.head):
        parts += [b"head.", name.encode(), b"\0", session.head[name].numpy().tobytes()]
    assert weights_digest(session) == sha256(*parts, session.time_table.tobytes())


def test_the_digest_of_a_library() -> None:
    library = made_library(small_config("add"), 2)
    parts = [json.dumps(library.config.to_json(), sort_keys=True).encode()]
    parts += [name.encode() + b"\0" + library.weights[name].tobytes() for name in sorted(library.weights)]
    for session in library.sessions:
        parts.append(json.dumps(session.record.to_json(), sort_keys=True).encode())
        parts.append(json.dumps([session.values.kind, session.values.facts()]).encode())
        tensors = session.values.tensors()
        parts += [name.encode() + b"\0" + tensors[name].tobytes() for name in sorted(tensors)]
    assert library_digest(library) == sha256(*parts)


def test_the_digest_of_a_training_states_tensors_holds_dtypes_and_shapes() -> None:
    tensors = {"b": torch.tensor(3.0), "a": torch.ones(2, 1).bfloat16(), "c": torch.arange(4)[::2]}
    expected = sha256(
        b"a torch.bfloat16 (2, 1)\0" + b"\x80\x3f" * 2,
        b"b torch.float32 ()\0" + np.float32(3).tobytes(),
        b"c torch.int64 (2,)\0" + np.array([0, 2]).tobytes(),
    )
    assert typed_digest(tensors) == expected


def test_a_digest_depends_on_every_name_and_bit() -> None:
    values = {"a": np.array([0.0, 1.0], np.float32)}
    digests = {
        Digest().add_named(tensors, prefix).hex()
        for tensors, prefix in (
            (values, ""),
            (values, "head."),
            ({"b": values["a"]}, ""),
            ({"a": np.array([-0.0, 1.0], np.float32)}, ""),
        )
    }
    assert len(digests) == 4
