"""Packed videos with the commands alone: written, turned back, decoded, verified, and mistakes on the way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command_line, environment
from helpers.libraries import small_config
from helpers.own_sessions import coded_values, with_values
from helpers.running import run_here

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.open import ArtifactFile, examine_artifact
from pfnr_runtime.serve.catalogue import Catalogue
from pfnr_train.library.values import CodedValues
from pfnr_train.session.initialise import new_library


@pytest.fixture
def both(folder: Path) -> tuple[Path, Path]:
    """A session as a packed video and as an .onnx."""
    assert run_here("pfnr-export", "-s", 2, "-o", "v.pfnv").code == 0
    assert run_here("pfnr-export", "-s", 2, "-o", "v.onnx").code == 0
    return Path("v.pfnv"), Path("v.onnx")


def test_it_is_turned_back_into_the_onnx_byte_for_byte(both: tuple[Path, Path]) -> None:
    packed, onnx = both
    done = run_here("pfnr-export", packed, "-o", "back.onnx")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("v.pfnv (")
    assert Path("back.onnx").read_bytes() == onnx.read_bytes()
    assert packed.stat().st_size < onnx.stat().st_size
    told = run_here("pfnr-export", packed, "-o", "back.onnx", "--json").json
    assert told["bytes"] == onnx.stat().st_size


def test_the_same_session_gives_the_same_bytes(both: tuple[Path, Path]) -> None:
    before = both[0].read_bytes()
    told = run_here("pfnr-export", "-s", 2, "-o", "v.pfnv", "--json").json
    assert both[0].read_bytes() == before
    assert told["bytes"] == len(before)


def test_it_decodes_and_verifies_as_the_onnx_does(both: tuple[Path, Path]) -> None:
    packed, onnx = both
    with VideoDecoder(packed) as one, VideoDecoder(onnx) as other:
        np.testing.assert_array_equal(one[:].data, other[:].data)
    verified = run_here("pfnr-verify", packed, "--threads", 1)
    assert verified.code == 0
    assert "the same frames" in verified.stdout


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_lower_precision_packs_too(folder: Path, precision: str) -> None:
    options = ("-s", 1, "--precision", precision, "--psnr-budget", 20)
    for name in ("low.pfnv", "low.onnx"):
        assert run_here("pfnr-export", *options, "-o", name).code == 0
    assert run_here("pfnr-export", "low.pfnv", "-o", "back.onnx").code == 0
    assert Path("back.onnx").read_bytes() == Path("low.onnx").read_bytes()


def test_continuous_time_packs_too(folder: Path) -> None:
    for name in ("any.pfnv", "any.onnx"):
        assert run_here("pfnr-export", "-s", 1, "--time", "continuous", "-o", name).code == 0
    assert run_here("pfnr-export", "any.pfnv", "-o", "back.onnx").code == 0
    assert Path("back.onnx").read_bytes() == Path("any.onnx").read_bytes()


def test_inspect_says_where_its_bytes_go(both: tuple[Path, Path]) -> None:
    def inspect(*arguments: object) -> str:
        line = command_line("inspect", *arguments)
        return subprocess.run(line, env=environment(), capture_output=True, text=True, check=True).stdout

    told = json.loads(inspect(both[0], "--json"))
    assert told["bytes"] == both[0].stat().st_size
    assert sum(part["bytes"] for part in told["packed"]["parts"]) == pytest.approx(told["bytes"], abs=2)
    assert told["packed"]["onnx_bytes"] == both[1].stat().st_size
    assert told["sha256"] == json.loads(inspect(both[1], "--json"))["sha256"]
    assert "graph and contract" in inspect(both[0])


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("v.pfnv",), 2, "takes only --output"),
        (("v.pfnv", "-s", 0, "-o", "x.onnx"), 2, "takes only --output"),
        (("v.pfnv", "-o", "x.pfnv"), 2, "a packed video unpacks to an .onnx"),
        (("v.pfnv", "-o", "v.pfnv"), 2, "is the input"),
        (("v.onnx", "-o", "x.onnx"), 2, "not a packed video"),
        (("none.pfnv", "-o", "x.onnx"), 1, "no such file"),
        (("--shared", "-o", "all.pfnv"), 2, "holds one session"),
    ],
)
def test_mistakes_are_named(both: tuple[Path, Path], arguments: tuple[object, ...], code: int, what: str) -> None:
    done = run_here("pfnr-export", *arguments)
    assert done.code == code
    assert what in done.error
    assert not Path("x.onnx").exists()


@pytest.mark.parametrize("combine", ["none", "replace"])
def test_a_session_trained_for_its_bytes_takes_what_its_stream_takes(combine: str, tmp_path: Path) -> None:
    config = small_config(combine)
    library = with_values(new_library(config, 0), coded_values(config, 1))
    library = with_values(library, coded_values(config, 2, parent=0, inherits=("block.0.conv.weight",)))
    for index, session in enumerate(library.sessions):
        values = session.values
        assert isinstance(values, CodedValues)
        export_session(library, index, tmp_path / "v.onnx", ExportOptions())
        done = export_session(library, index, tmp_path / "v.pfnv", ExportOptions())
        opened = examine_artifact(tmp_path / "v.pfnv")
        assert isinstance(opened, ArtifactFile)
        assert opened.read() == (tmp_path / "v.onnx").read_bytes()
        # Besides the stream: graph, contract, derivations; and weights that are the sum of two sessions'.
        assert done.file_bytes < len(values.data) + (900 if index == 0 else 1400)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("decode", ("md5:",)),
        ("play", ("null:",)),
        ("bench", ("--seconds", 0.1, "--cold-starts", 1, "--batches", "", "--json")),
    ],
)
def test_the_runtime_opens_it(both: tuple[Path, Path], command: str, arguments: tuple[object, ...]) -> None:
    done = subprocess.run(
        command_line(command, both[0], *arguments), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_browser_is_shown_it(both: tuple[Path, Path]) -> None:
    with Catalogue([both[0]]) as catalogue:
        frame = catalogue.frame(2, 1)
    with VideoDecoder(both[1]) as decoder:
        np.testing.assert_array_equal(frame.data, decoder[1].data)
