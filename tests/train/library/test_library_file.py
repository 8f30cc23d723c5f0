"""The library file: the same bytes round the trip, and every kind of damage one line of LibraryError."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from helpers.libraries import COMBINES, made_library, small_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfnr_runtime.errors import LibraryError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import default_library_path, lock_library, read_library, write_library
from pfnr_train.library.library import Library
from pfnr_train.model.decode import decode_all


@pytest.fixture
def library_file(tmp_path: Path) -> Path:
    path = tmp_path / "library.pfnr"
    write_library(made_library(small_config("add", bias=True)), path)
    return path


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


@pytest.mark.parametrize("version", [0, 3, "1", None, 1e400, [1]])
def test_another_format_version_is_named(version: Any, library_file: Path) -> None:
    rewrite(library_file, lambda ours: ours.update(format_version=version))
    text = error_of(library_file)
    assert "library format" in text
    assert "reads 1 and 2" in text


def first_record(ours: dict[str, Any]) -> dict[str, Any]:
    return ours["sessions"][0]


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no config": lambda o: o.pop("config"),
    "no sessions": lambda o: o.pop("sessions"),
    "sessions are a number": lambda o: o.update(sessions=7),
    "a session is a list": lambda o: o.update(sessions=[[]]),
    "a session too many": lambda o: o["sessions"].append(o["sessions"][0]),
    "a session too few": lambda o: o["sessions"].pop(),
    "a huge grid": lambda o: o["config"].update(grid=[10**9, 10**9]),
    "an astronomic grid": lambda o: o["config"].update(grid=[10**4000, 10**4000]),
    "a grid of words": lambda o: o["config"].update(grid=["9", "16"]),
    "a grid of one": lambda o: o["config"].update(grid=[9]),
    "no strides": lambda o: o["config"].update(strides=[]),
    "a million strides": lambda o: o["config"].update(strides=[2] * 100_000),
    "a stride of nought": lambda o: o["config"].update(strides=[0, 2]),
    "a stride that is true": lambda o: o["config"].update(strides=[True, 2]),
    "huge channels": lambda o: o["config"].update(channels=10**30),
    "negative channels": lambda o: o["config"].update(channels=-4),
    "no reduction": lambda o: o["config"].update(reduction=0),
    "an embedding of words": lambda o: o["config"].update(embed_base="1.25"),
    "an embedding that is no number": lambda o: o["config"].update(embed_base=float("nan")),
    "a Fourier block of words": lambda o: o["config"].update(fourier="replace"),
    "a Fourier block too far": lambda o: o["config"]["fourier"].update(block=99),
    "an unknown setting": lambda o: o["config"].update(colour="red"),
    "huge frames": lambda o: first_record(o)["video"].update(frames=10**12),
    "frames of half": lambda o: first_record(o)["video"].update(frames=2.5),
    "a frame rate for ever": lambda o: first_record(o)["video"].update(fps="1e999999999"),
    "a frame rate over nought": lambda o: first_record(o)["video"].update(fps="25/0"),
    "another size": lambda o: first_record(o)["video"].update(width=24),
    "an empty name": lambda o: first_record(o)["video"].update(name=""),
    "a name with a line break": lambda o: first_record(o)["video"].update(name="a\nb"),
    "no video": lambda o: first_record(o).pop("video"),
    "a density above one": lambda o: first_record(o).update(density=1.5),
    "a density that is no number": lambda o: first_record(o).update(density=float("nan")),
    "a PSNR of words": lambda o: first_record(o).update(psnr="good"),
    "a PSNR that is no number": lambda o: first_record(o).update(psnr=float("nan")),
    "a PSNR without end": lambda o: first_record(o).update(psnr=float("inf")),
    "an MS-SSIM that is a list": lambda o: first_record(o).update(ms_ssim=[1]),
    "an MS-SSIM that is no number": lambda o: first_record(o).update(ms_ssim=float("nan")),
    "a scalar that is no number": lambda o: first_record(o).update(scalar=float("nan")),
    "a scalar without end": lambda o: first_record(o).update(scalar=float("inf")),
    "a huge scalar": lambda o: first_record(o).update(scalar=10**400),
    "a seed of words": lambda o: first_record(o).update(seed="7"),
    "a digest that is a number": lambda o: first_record(o).update(weights_sha256=7),
    "another digest": lambda o: first_record(o).update(weights_sha256="0" * 64),
    "two sessions of one name": lambda o: first_record(o)["video"].update(name="video-1"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_header_that_cannot_be_right(what: str, library_file: Path) -> None:
    rewrite(library_file, HOSTILE[what])
    text = error_of(library_file)
    assert "restore" in text


@pytest.mark.parametrize("ours", ["", "[]", "7", "null", "{", "[" * 100_000, '{"a":' * 50_000, "\\u0000"])
def test_a_header_that_is_no_object(ours: str, library_file: Path) -> None:
    head, body = parts_of(library_file)
    put(library_file, head, ours, body)
    error_of(library_file)


def test_tensors_that_do_not_belong_or_have_another_shape(library_file: Path) -> None:
    whole = library_file.read_bytes()
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "has an unknown tensor surprise": lambda t: t.update(surprise=np.zeros(3, np.float32)),
        "has an unknown tensor sessions/2/": lambda t: t.update(
            {"sessions/2/head/weight": np.zeros(3, np.float32)}
        ),
        "lacks weights/stem.0.weight": lambda t: t.pop("weights/stem.0.weight"),
        "lacks sessions/1/head/weight": lambda t: t.pop("sessions/1/head/weight"),
        "lacks sessions/0/masks/stem.0.bias": lambda t: t.pop("sessions/0/masks/stem.0.bias"),
        "weights/stem.0.weight is F16": lambda t: t.update(
            {"weights/stem.0.weight": t["weights/stem.0.weight"].astype(np.float16)}
        ),
        "weights/stem.0.weight is F32 [160, 12], not F32 [12, 160]": lambda t: t.update(
            {"weights/stem.0.weight": t["weights/stem.0.weight"].T.copy()}
        ),
        "sessions/0/masks/stem.0.weight is U8 [241]": lambda t: t.update(
            {"sessions/0/masks/stem.0.weight": np.zeros(241, np.uint8)}
        ),
        "sessions/0/time_table is F32 [3, 160], not F32 [4, 160]": lambda t: t.update(
            {"sessions/0/time_table": np.zeros((3, 160), np.float32)}
        ),
    }
    for says, change in changes.items():
        library_file.write_bytes(whole)
        tensors, metadata = tensors_of(library_file)
        change(tensors)
        safetensors.numpy.save_file(tensors, library_file, metadata)
        assert says in error_of(library_file)


def test_tensors_that_claim_to_be_huge(library_file: Path) -> None:
    head, body = parts_of(library_file)
    for shape, offsets in (([2**40, 2**20], [0, 4]), ([12, 160], [0, 2**60]), ([12, 160], [2**60, 2**60 + 7680])):
        hostile = {**head, "weights/stem.0.weight": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}
        put(library_file, hostile, head["__metadata__"]["pfnr"], body)
        error_of(library_file)


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
