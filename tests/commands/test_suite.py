"""pfnr-verify --suite: a device is proved by tiny artifacts of every kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.running import run_here

from pfnr_export.lowerings import LOWERINGS
from pfnr_export.precisions import PRECISIONS
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.proof.suite import FOLDER, SUITE, read_suite, run_suite

WITHOUT_TORCH = """
import sys
for name in ("torch", "onnx", "safetensors", "rich"):
    sys.modules[name] = None
from pfnr_export import verify_main
sys.argv = ["pfnr-verify", "--suite", "--json"]
verify_main()
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A suite of two cases."""
    document = json.loads((FOLDER / SUITE).read_text())
    document["cases"] = [c for c in document["cases"] if c["name"] in ("precision-exact", "fourier-none-centered")]
    for case in document["cases"]:
        shutil.copy(FOLDER / case["file"], tmp_path)
        shutil.copy(FOLDER / case["golden"], tmp_path)
    (tmp_path / SUITE).write_text(json.dumps(document))
    return tmp_path


def change(folder: Path, key: str, value: Any, case: int = 0) -> None:
    document = json.loads((folder / SUITE).read_text())
    document["cases"][case][key] = value
    (folder / SUITE).write_text(json.dumps(document))


def test_every_case_passes_here_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"]
    assert len(report["cases"]) == len(read_suite())


def test_every_precision_and_lowering_is_in_the_suite() -> None:
    names = {case.name for case in read_suite()}
    assert names >= {f"precision-{name}" for name in PRECISIONS} | {f"lowering-{name}" for name in LOWERINGS}
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_000_000


def test_a_suite_elsewhere_is_run_and_shown_as_a_table(copied: Path) -> None:
    done = run_here("pfnr-verify", copied, "--suite", "--backend", "onnxruntime-cpu")
    assert done.code == 0
    assert "2 of 2 cases passed" in done.stdout
    assert "3 of 3 frames identical" in done.stdout


def test_other_frames_of_an_exact_artifact_fail(copied: Path) -> None:
    (exact,) = (i for i, case in enumerate(read_suite(copied)) if case.name == "precision-exact")
    change(copied, "md5", ["0" * 32] * 3, exact)
    done = run_here("pfnr-verify", copied / SUITE, "--suite", "--json")
    assert done.code == 3
    states = {case["name"]: case["state"] for case in done.json["cases"]}
    assert states == {"precision-exact": "FAILED", "fourier-none-centered": "passed"}


def test_a_case_that_does_not_open_fails_and_the_others_go_on(copied: Path) -> None:
    cases = read_suite(copied)
    cases[0].file.write_bytes(b"nothing")
    outcomes = list(run_suite(cases, "onnxruntime-cpu", 1))
    assert [outcome.state for outcome in outcomes] == ["does not open", "passed"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--suite", "--exact"], 2),
        (["--suite", "--all"], 2),
        (["--suite", "--backend", "abacus"], 2),
        (["--suite", "--backend", "tensorrt"], 4),
        (["nowhere", "--suite"], 1),
        ([], 2),
    ],
)
def test_what_cannot_be_run_is_said(arguments: list[str], code: int) -> None:
    done = run_here("pfnr-verify", *arguments)
    assert done.code == code
    assert done.error


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../v.onnx"),
        ("file", "/etc/passwd"),
        ("file", ".hidden"),
        ("golden", ["x"]),
        ("name", "a\nb"),
        ("session", -1),
        ("session", True),
        ("md5", ["short"]),
    ],
)
def test_a_suite_names_nothing_outside_its_folder(key: str, value: Any, copied: Path) -> None:
    change(copied, key, value)
    with pytest.raises(ArtifactError, match="not a conformance suite"):
        read_suite(copied)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format_version": 2, "cases": []}', '{"format_version": 1, "cases": []}']
)
def test_another_file_is_no_suite(text: str, tmp_path: Path) -> None:
    (tmp_path / SUITE).write_text(text)
    with pytest.raises(ArtifactError, match="not a conformance suite"):
        read_suite(tmp_path)


@pytest.mark.slow
def test_the_suite_is_made_again_to_the_same_names(tmp_path: Path) -> None:
    from pfnr_export.conformance import make_suite

    made = json.loads(make_suite(tmp_path / "suite").read_text())
    kept = json.loads((FOLDER / SUITE).read_text())
    assert [case["name"] for case in made["cases"]] == [case["name"] for case in kept["cases"]]
