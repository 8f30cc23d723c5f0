"""The library file: the same bytes after a round trip, written whole or not at all, under a lock."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from helpers.libraries import COMBINES, made_library, small_config
from helpers.library_files import error_of, parts_of

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.default_path import default_library_path
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import lock_library, read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.model.decode import decode_all


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("sessions", [0, 1, 3])
def test_a_library_survives_the_file_byte_for_byte(combine: str, sessions: int, tmp_path: Path) -> None:
    library = made_library(small_config(combine, bias=sessions == 1), sessions)
    paths = [tmp_path / name for name in ("a.pfnr", "b.pfnr")]
    write_library(library, paths[0])
    again = read_library(paths[0])
    write_library(again, paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert again.config == library.config
    assert [s.record for s in again.sessions] == [s.record for s in library.sessions]
    for k in range(sessions):
        assert weights_digest(again.session_weights(k)) == weights_digest(library.session_weights(k))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pfnr", "b.pfnr"]


def test_a_session_with_a_time_table_of_its_own_survives(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    table = np.linspace(-1, 1, 640, dtype=np.float32).reshape(4, 160)
    session = library.sessions[1]
    session = replace(session, values=replace(session.values, time_table=table))
    library = replace(library, sessions=(library.sessions[0], session))
    digest = weights_digest(library.assemble(1))
    session = replace(session, record=replace(session.record, weights_sha256=digest))
    library = replace(library, sessions=(library.sessions[0], session))
    write_library(library, tmp_path / "l.pfnr")
    again = read_library(tmp_path / "l.pfnr")
    assert np.array_equal(again.session_weights(1).time_table, table)
    assert not again.sessions[0].values.own_table


def test_there_is_no_pickle_in_the_file(library_file: Path) -> None:
    head, body = parts_of(library_file)
    tensors = {name: entry for name, entry in head.items() if name != "__metadata__"}
    assert {entry["dtype"] for entry in tensors.values()} == {"F32", "U8"}

    def size(prefix: str) -> int:
        spans = [e["data_offsets"] for name, e in tensors.items() if name.startswith(prefix)]
        return sum(stop - start for start, stop in spans)

    assert size("") == len(body)
    # A bit for each weight of 32, and at most seven bits of padding a tensor.
    assert size("sessions/0/masks/") <= size("weights/") / 32 + len(tensors)


def test_a_session_is_found_by_index_and_name_or_the_error_lists_what_there_is() -> None:
    library = made_library(small_config(), 3)
    assert [library.find(w) for w in (0, "2", "video-1", 1)] == [0, 2, 1, 1]
    for which in (3, "3", "-1", "video", "", "9" * 5000):
        with pytest.raises(LibraryError, match=r"it has 0 \(video-0\), 1 \(video-1\), 2 \(video-2\)"):
            library.find(which)
    with pytest.raises(LibraryError, match="none: train one first"):
        Library(small_config(), {}).find(0)


def test_the_default_path_is_in_the_environment_or_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PFNR_LIBRARY", raising=False)
    assert default_library_path() == Path("library.pfnr")
    monkeypatch.setenv("PFNR_LIBRARY", "/somewhere/films.pfnr")
    assert default_library_path() == Path("/somewhere/films.pfnr")
    monkeypatch.setenv("PFNR_LIBRARY", "")
    assert default_library_path() == Path("library.pfnr")


def test_a_failed_write_leaves_the_old_library_and_nothing_else(
    library_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = library_file.read_bytes()

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    grown = made_library(small_config(), 3)
    for step in ("fsync", "replace", "fchmod"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space") as caught:
                write_library(grown, library_file)
        assert caught.value.filename == str(library_file)
        assert library_file.read_bytes() == before
        assert [p.name for p in library_file.parent.iterdir()] == ["library.pfnr"]


def test_a_read_only_library_is_neither_locked_nor_replaced(library_file: Path) -> None:
    before = library_file.read_bytes()
    library_file.chmod(0o444)
    with pytest.raises(PermissionError) as caught:
        write_library(made_library(small_config(), 3), library_file)
    assert caught.value.filename == str(library_file)
    with (
        pytest.raises(LibraryError, match=r"is read-only; allow writing with chmod u\+w"),
        lock_library(library_file),
    ):
        pass
    assert library_file.read_bytes() == before
    assert [p.name for p in library_file.parent.iterdir()] == ["library.pfnr"]


def test_a_lock_goes_where_no_library_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "library.pfnr"
    with lock_library(path), pytest.raises(LibraryError, match="is locked"), lock_library(path):
        pass
    assert list(tmp_path.iterdir()) == []
    with lock_library(path):
        write_library(made_library(small_config(), 1), path)
    with lock_library(path):
        pass


def test_reading_a_file_one_may_not_read_is_a_library_error(
    library_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(library_file))

    monkeypatch.setattr(safetensors, "safe_open", refuse)  # root, who often runs tests, may read everything
    with pytest.raises(LibraryError, match="permission denied; make the file readable"):
        read_library(library_file)


def test_a_link_to_a_library_keeps_pointing_at_it(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "real.pfnr", tmp_path / "library.pfnr"
    write_library(made_library(small_config(), 1), target)
    link.symlink_to(target)
    write_library(made_library(small_config(), 2), link)
    assert link.is_symlink()
    assert len(read_library(target).sessions) == 2
    with lock_library(link), pytest.raises(LibraryError, match="is locked"), lock_library(target):
        pass


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["weights/", "sessions/0/head/"])
def test_a_weight_that_is_no_finite_number_is_refused(kind: str, value: float, library_file: Path) -> None:
    header, data = parts_of(library_file)
    name = next(name for name in header if name.startswith(kind))
    whole = bytearray(library_file.read_bytes())
    start = len(whole) - len(data) + header[name]["data_offsets"][0]
    whole[start : start + 4] = np.float32(value).tobytes()
    library_file.write_bytes(whole)
    assert f"{name} holds values that are not finite numbers" in error_of(library_file)


def test_a_weight_that_a_session_does_not_use_never_touches_its_frames() -> None:
    library = made_library(small_config("add", bias=True))
    used = library.sessions[0].values.pool_masks(library.config)
    spoilt = {name: np.where(used[name], w, np.float32(np.nan)) for name, w in library.weights.items()}
    first = replace(library, sessions=library.sessions[:1])
    session = first.session_weights(0)
    weights = {name: torch.from_numpy(w) for name, w in spoilt.items()}
    np.testing.assert_array_equal(decode_all(session), decode_all(replace(session, weights=weights)))
