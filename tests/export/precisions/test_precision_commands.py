"""`pfnr-export --precision` and `pfnr-verify` as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from helpers.libraries import made_library
from helpers.precision_subjects import FRAMES, config
from helpers.tampering import tamper
from onnx import numpy_helper

from pfnr_export.precisions import PRECISIONS
from pfnr_train.library.file import write_library


@pytest.fixture(scope="module")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "library.pfnr"
    write_library(made_library(config(), 1, FRAMES, 3), path)
    return path


def run(command: str, *arguments: object, blocked: str = "") -> subprocess.CompletedProcess[str]:
    """A command in its own process; `blocked`: modules it cannot import."""
    code = (
        "import sys\n"
        f"for name in {blocked.split()!r}: sys.modules[name] = None\n"
        f"from pfnr_export.commands.{command} import app\n"
        "app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=200
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("precision", [name for name, p in PRECISIONS.items() if p.budget and not p.proved])
def test_an_artifact_of_every_precision_proves_itself(precision: str, library_file: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "v.onnx"
    options = ("-s", 0, "-l", library_file, "-o", artifact, "--precision", precision, "--psnr-budget", 1, "--json")
    exported = json.loads(run("export", *options, "--golden").stdout)
    assert exported["precision"] == precision
    assert exported["precision_report"]["budget"] == 1
    first = artifact.read_bytes()
    assert run("export", *options).returncode == 0
    assert artifact.read_bytes() == first
    against_torch = run("verify", artifact, "-l", library_file, "--json", "--threads", 1)
    assert against_torch.returncode == 0
    assert json.loads(against_torch.stdout)["rule"]["kind"] == "budget"
    missing = "torch onnx polygraphy safetensors filelock"
    alone = run("verify", artifact, "--json", "--threads", 1, blocked=missing)
    assert alone.returncode == 0, alone.stderr
    report = json.loads(alone.stdout)
    assert (report["passed"], report["precision"], report["frames"]) == (True, precision, FRAMES)


def test_an_fp32_artifact_proves_itself_without_torch_and_a_changed_one_fails(
    library_file: Path, tmp_path: Path
) -> None:
    artifact = tmp_path / "v.onnx"
    assert run("export", "-s", 0, "-l", library_file, "-o", artifact, "--golden").returncode == 0
    done = run("verify", artifact, blocked="torch onnx polygraphy safetensors filelock")
    assert done.returncode == 0, done.stderr
    assert "the same frames" in done.stdout

    def scale_head(model: onnx.ModelProto) -> None:
        [head] = [t for t in model.graph.initializer if t.name == "head/weight"]
        head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head) * 1.1, head.name))

    tamper(artifact, scale_head)
    changed = run("verify", artifact)
    assert changed.returncode == 3
    assert "NOT the same frames" in changed.stdout
    assert changed.stderr.startswith(f"error: {artifact}: ")


def test_an_impossible_budget_exits_with_3_and_writes_nothing(library_file: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "v.onnx"
    options = ("-s", 0, "-l", library_file, "-o", artifact, "--precision", "int8", "--golden")
    done = run("export", *options, "--psnr-budget", 1e-9)
    assert done.returncode == 3
    assert "the best of" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--precision", "int4"),
            "precision 'int4' is none of auto, exact, fp32, exact-int8, fp16, int8, int8-weights",
        ),
        (("--precision", "fp32", "--psnr-budget", 0.1), "fp32 loses nothing"),
        (("--precision", "int8", "--psnr-budget", -1), "outside 0 to 20 dB"),
        (("--precision", "int8", "--calibration-frames", 0), "1 or more"),
        (("--golden", "--golden-frames", 65), "outside 0 to 64"),
    ],
)
def test_wrong_options_are_named(
    options: tuple[object, ...], message: str, library_file: Path, tmp_path: Path
) -> None:
    done = run("export", "-s", 0, "-l", library_file, "-o", tmp_path / "v.onnx", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_limits_of_the_exact_rule_do_not_go_with_a_budget(library_file: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "v.onnx"
    run("export", "-s", 0, "-l", library_file, "-o", artifact, "--precision", "fp16", "--psnr-budget", 1)
    done = run("verify", artifact, "-l", library_file, "--max-step", 3)
    assert done.returncode == 2
    assert "PSNR budget" in done.stderr
