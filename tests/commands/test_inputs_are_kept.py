"""No output replaces what it is made from, nor a library, by whatever name it is reached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.libraries import made_library, small_config
from helpers.running import run_here
from typer.testing import CliRunner

from pfnr_runtime.commands.decode import app
from pfnr_train.library.file import write_library


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PFNR_LIBRARY", raising=False)
    write_library(made_library(small_config("none"), 2, 5), Path("library.pfnr"))
    for name in ("v.onnx", "v.pfnv"):
        assert run_here("pfnr-export", "-s", 0, "-o", name, "--golden").code == 0
    assert run_here("pfnr-export", "--shared", "-o", "shared.onnx").code == 0
    Path("other-name").write_bytes(Path("library.pfnr").read_bytes())
    os.link("v.onnx", "linked.rgb")
    return tmp_path


@pytest.fixture
def _all_kept(folder: Path) -> Iterator[None]:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    yield
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


KEPT = ("v.onnx", "v.pfnv", "v.golden", "library.pfnr", "other-name", "linked.rgb", "shared.0.safetensors")


@pytest.mark.usefixtures("_all_kept")
@pytest.mark.parametrize("name", KEPT)
def test_frames_replace_no_file_of_the_toolkit(name: str) -> None:
    done = CliRunner().invoke(app, ["v.onnx", f"rgb24:{name}"])
    assert done.exit_code == 1
    assert f"error: {name if name != 'linked.rgb' else ''}" in done.stderr
    assert "which frames would replace" in done.stderr


@pytest.mark.usefixtures("_all_kept")
@pytest.mark.parametrize(
    "arguments",
    [
        ("-s", 0, "-o", "library.pfnr"),
        ("-s", 0, "-o", "other-name"),
        ("-s", 0, "-o", "v.golden", "--golden"),
        ("v.pfnv", "-o", "v.pfnv"),
    ],
)
def test_an_export_replaces_neither_its_input_nor_a_library(arguments: tuple[object, ...]) -> None:
    done = run_here("pfnr-export", *arguments)
    assert done.code == 2
    assert "choose another" in done.error
