"""A library that is cut, flipped or something else altogether: one line of LibraryError, at the latest in use."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from helpers.libraries import made_library, small_config
from helpers.library_files import error_of, use_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import read_library


def test_a_file_cut_anywhere_is_refused(library_file: Path) -> None:
    data = library_file.read_bytes()
    places = {0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1, *range(0, len(data), len(data) // 40)}
    for place in places:
        library_file.write_bytes(data[:place])
        text = error_of(library_file)
        assert str(library_file) in text
        assert "restore it from a copy" in text


def test_a_file_with_something_added_is_refused(library_file: Path) -> None:
    library_file.write_bytes(library_file.read_bytes() + b"\0")
    assert "restore it from a copy" in error_of(library_file)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_flipped_byte_in_the_header_never_ends_in_another_exception(
    data: st.DataObject, library_file: Path
) -> None:
    whole = _pristine(library_file)
    (length,) = struct.unpack("<Q", whole[:8])
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 8 + length - 1))] ^= data.draw(st.integers(1, 255))
    library_file.write_bytes(damaged)
    # Some flips only make a name or a figure another valid one, which no check can tell.
    with contextlib.suppress(LibraryError):
        use_all(library_file)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_flipped_bit_of_a_weight_mask_or_head_is_caught_when_the_session_is_used(
    data: st.DataObject, library_file: Path
) -> None:
    whole = _pristine(library_file)
    (length,) = struct.unpack("<Q", whole[:8])
    at, bit = data.draw(st.integers(8 + length, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[at] ^= 1 << bit
    library_file.write_bytes(damaged)
    damaged_library = read_library(library_file)
    intact = made_library(small_config("add", bias=True))
    for k in range(2):
        if weights_digest(damaged_library.assemble(k)) == weights_digest(intact.assemble(k)):
            damaged_library.session_weights(k)  # a weight or padding bit that this session does not use
        else:
            with pytest.raises(LibraryError, match="do not match the digest"):
                damaged_library.session_weights(k)


def test_every_used_weight_is_under_a_digest(library_file: Path) -> None:
    library = read_library(library_file)
    for name, used in library.used().items():
        where = tuple(np.argwhere(used)[-1])
        weights = {n: w.copy() for n, w in library.weights.items()}
        weights[name].view(np.uint32)[where] ^= 1
        broken = replace(library, weights=weights)
        caught = []
        for k, session in enumerate(library.sessions):
            if session.values.pool_masks(library.config)[name][where]:
                with pytest.raises(LibraryError, match="restore it from a copy"):
                    broken.session_weights(k)
                caught.append(k)
        assert caught


def _pristine(path: Path) -> bytes:
    """The bytes the fixture wrote, whatever an example did to them since."""
    keep = path.with_suffix(".whole")
    if not keep.exists():
        keep.write_bytes(path.read_bytes())
    return keep.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "truncated or damaged"),
        (b"just some words\n" * 40, "is not a library"),
        (b"\x00" * 4096, "is not a library"),
        (b"\xff" * 4096, "is not a library"),
        (b"\x80\x02}q\x00.", "is not a library"),
        (struct.pack("<Q", 10**12) + b"{}", "is not a library"),
        (struct.pack("<Q", 2) + b"{}", "is a safetensors file but not a pfnr library"),
    ],
)
def test_files_that_are_no_library(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.pfnr").write_bytes(content)
    assert says in error_of(tmp_path / "x.pfnr")


def test_someone_elses_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}):
        safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, path, metadata)
        assert "is a safetensors file but not a pfnr library" in error_of(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "does not exist; make it with `pfnr-train add CLIP" in error_of(tmp_path / "none.pfnr")
    assert "does not exist" in error_of(tmp_path / "no" / "folder" / "none.pfnr")
    assert "is a folder" in error_of(tmp_path)
