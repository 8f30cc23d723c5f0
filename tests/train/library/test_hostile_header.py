"""A library whose header or tensors cannot be right: one line of LibraryError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from helpers.library_files import error_of, parts_of, put, rewrite, tensors_of


@pytest.mark.parametrize("version", [0, 4, "1", None, 1e400, [1]])
def test_another_format_version_is_named(version: Any, library_file: Path) -> None:
    rewrite(library_file, lambda ours: ours.update(format_version=version))
    text = error_of(library_file)
    assert "library format" in text
    assert "reads 1, 2 and 3" in text


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
    "a stride of zero": lambda o: o["config"].update(strides=[0, 2]),
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
    "a frame rate without end": lambda o: first_record(o)["video"].update(fps="1e999999999"),
    "a frame rate over zero": lambda o: first_record(o)["video"].update(fps="25/0"),
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
