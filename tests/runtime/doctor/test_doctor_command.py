"""pfnr-doctor as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from helpers.paths import ROOT


def doctor(*arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run it in a new Python where the modules `without` cannot be imported."""
    code = (
        "import sys\n"
        f"for name in {without!r}: sys.modules[name] = None\n"
        f"sys.argv = ['pfnr-doctor', *{arguments!r}]\n"
        "from pfnr_runtime.commands.doctor import main\n"
        "main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_it_says_what_is_here_and_decodes_on_it() -> None:
    done = doctor("--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"]) == (0, 0)
    assert found["engines"]["onnxruntime-cpu"]["state"] == "right"
    assert found["engines"]["onnxruntime-cpu"]["golden"]["passed"] is True
    assert found["packages"]["numpy"]
    assert done.stderr == ""


def test_without_pyav_it_says_that_nothing_could_be_checked() -> None:
    done = doctor(without=("av", "pygame", "torch"))
    assert done.returncode == 4
    assert "onnxruntime-cpu: failed: cannot be checked: " in done.stdout
    assert "pip install av" in done.stdout


def test_without_any_engine_it_exits_with_4_and_says_what_would_install_one() -> None:
    done = doctor(without=("onnxruntime", "pygame", "torch", "onnx", "tensorrt", "tensorrt_rtx"))
    assert done.returncode == 4
    lines = [line for line in done.stdout.splitlines() if line.startswith("engine ")]
    assert len(lines) == 4
    assert all(": missing: " in line and "pip install 'pfnr[" in line for line in lines)
    assert any(
        line.startswith("display ") and "pip install 'pfnr[play]'" in line for line in done.stdout.splitlines()
    )
