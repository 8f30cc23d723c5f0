"""Libraries of sessions that own their values: their file, their limits, parents, and what never changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from helpers.libraries import made_library, small_config
from helpers.own_sessions import coded_values, placed_values, with_values

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import library_bytes, read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.session.initialise import new_library
from train.library.second_reader import SecondReader

CONFIG = small_config("add", bias=True)
CONV = "block.0.conv.weight"


def mixed_library() -> Library:
    """A session of each kind, and one with a parent."""
    library = made_library(CONFIG, 1)
    library = with_values(library, coded_values(CONFIG, 1))
    library = with_values(library, placed_values(CONFIG, 2))
    return with_values(library, coded_values(CONFIG, 3, 1, (CONV,)))


def saved(library: Library, folder: Path) -> Path:
    write_library(library, folder / "library.pfnr")
    return folder / "library.pfnr"


def header_of(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["pfnr"])


def rewrite(path: Path, change: Any) -> None:
    """Change header and tensors, and write the file again."""
    tensors, header = safetensors.numpy.load_file(path), header_of(path)
    change(header, tensors)
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"pfnr": json.dumps(header)}))


def test_every_kind_survives_the_file_byte_for_byte_and_bit_for_bit(tmp_path: Path) -> None:
    library = mixed_library()
    again = read_library(saved(library, tmp_path))
    assert library_bytes(again) == library_bytes(library)
    for k in range(4):
        before, after = library.session_weights(k), again.session_weights(k)
        for name, weight in before.materialised().items():
            assert weight.numpy().tobytes() == after.materialised()[name].numpy().tobytes()
        assert before.time_table.tobytes() == after.time_table.tobytes()
    assert [s.values.kind for s in again.sessions] == ["shared", "coded", "places", "coded"]


def test_a_library_of_own_sessions_has_no_pool_and_one_of_shared_ones_is_of_the_first_format(
    tmp_path: Path,
) -> None:
    library = new_library(CONFIG, 0)
    for k in range(8):
        library = with_values(library, coded_values(CONFIG, k))
    path = saved(library, tmp_path)
    assert SecondReader(path).version == 3
    streams = sum(len(s.values.data) for s in library.sessions if isinstance(s.values, CodedValues))
    assert path.stat().st_size < streams + 8 * 1700 + 1000
    assert header_of(saved(made_library(CONFIG, 2), tmp_path))["format_version"] == 1
    emptied = replace(library, sessions=())
    assert read_library(saved(emptied, tmp_path)) == emptied


def test_a_difference_from_a_parent_is_added_to_it() -> None:
    library = mixed_library()
    child, parent = library.session_weights(3).materialised(), library.session_weights(1).materialised()
    alone = coded_values(CONFIG, 3).materialise(CONFIG, {}, lambda index: {}).weights
    for name, weight in alone.items():
        expected = weight + parent[name].numpy() if name == CONV else weight
        assert np.array_equal(child[name].numpy(), expected)


def test_what_a_session_decodes_with_never_changes(tmp_path: Path) -> None:
    library, seen = new_library(CONFIG, 0), []
    for k in range(6):
        values = coded_values(CONFIG, k, k - 1, (CONV,)) if k in (2, 5) else coded_values(CONFIG, k)
        library = read_library(saved(with_values(library, values), tmp_path))
        library.session_weights(k)
        seen.append(library.sessions[k].record.weights_sha256)
        for earlier in range(k + 1):
            library.session_weights(earlier)
            assert library.sessions[earlier].record.weights_sha256 == seen[earlier]


def test_parents_that_cannot_be_are_refused(tmp_path: Path) -> None:
    library = with_values(made_library(CONFIG, 1), coded_values(CONFIG, 1))
    for parent, says in (
        (2, "is not an earlier session"),
        (7, "is not an earlier"),
        (0, "has no values of its own"),
    ):
        with pytest.raises(LibraryError, match=rf"session 2 \(video-2\): its parent {parent} {says}"):
            with_values(library, coded_values(CONFIG, 2, parent, (CONV,)))
    path = saved(with_values(library, coded_values(CONFIG, 2, 1, (CONV,))), tmp_path)
    rewrite(path, lambda header, tensors: header["values"][2].update(parent=2))
    with pytest.raises(LibraryError, match="its parent 2 is not an earlier session"):
        read_library(path)


def test_a_chain_of_parents_is_bounded() -> None:
    library = with_values(new_library(CONFIG, 0), coded_values(CONFIG, 0))
    for k in range(1, 4):
        library = with_values(library, coded_values(CONFIG, k, k - 1, (CONV,)))
    with pytest.raises(LibraryError, match="name a parent nearer to the beginning"):
        with_values(library, coded_values(CONFIG, 9, 3, (CONV,)))
    with_values(library, coded_values(CONFIG, 9, 0, (CONV,)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header, tensors: header.pop("values"), "not a list with one entry each"),
        (lambda header, tensors: header["values"].pop(), "not a list with one entry each"),
        (lambda header, tensors: header["values"][1].update(kind="magic"), "values of kind 'magic'"),
        (lambda header, tensors: header["values"].__setitem__(1, 7), "values of kind 'None'"),
        (lambda header, tensors: header["values"][3].update(inherits=["nothing"]), "are not this network's"),
        (lambda header, tensors: header["values"][3].update(parent="1"), "parent 1 is not a session's number"),
        (lambda header, tensors: header["values"][3].pop("parent"), "instead of parent and inherits"),
        (lambda header, tensors: header["values"][2].update(parent=0), "unknown parent"),
        (lambda header, tensors: header["values"][1].update(kind="shared"), "lacks sessions/1/head"),
        (lambda header, tensors: tensors.pop("sessions/1/coded"), "lacks sessions/1/coded"),
        (lambda header, tensors: tensors.pop("weights/stem.0.weight"), "lacks weights/stem.0.weight"),
        (
            lambda header, tensors: tensors.update({f"sessions/2/values/{CONV}": np.zeros(3, np.float32)}),
            f"3 values of {CONV} at",
        ),
        (
            lambda header, tensors: tensors.update({"sessions/1/coded": np.zeros(3, np.float32)}),
            "sessions/1/coded is F32",
        ),
    ],
)
def test_a_file_that_lies_is_refused(change: Any, says: str, tmp_path: Path) -> None:
    path = saved(mixed_library(), tmp_path)
    rewrite(path, change)
    with pytest.raises(LibraryError) as caught:
        read_library(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_stream_is_never_decoded(tmp_path: Path) -> None:
    path = saved(mixed_library(), tmp_path)
    intact = safetensors.numpy.load_file(path)["sessions/1/coded"]
    rng = np.random.default_rng(0)
    for trial in range(40):
        damaged = intact.copy()
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        damaged = damaged[: rng.integers(len(damaged))] if trial % 4 == 0 else damaged

        def change(header: Any, tensors: Any, damaged: Any = damaged) -> None:
            tensors["sessions/1/coded"] = damaged

        rewrite(path, change)
        library = read_library(path)
        with pytest.raises(LibraryError, match=r"session 1 \(video-1\): "):
            library.session_weights(1)
        for index in (0, 2):
            library.session_weights(index)
        # The session whose parent it is decodes as ever, where the damage is in what it does not inherit, or not.
        try:
            child = library.session_weights(3)
        except LibraryError:
            continue
        assert weights_digest(child) == library.sessions[3].record.weights_sha256
