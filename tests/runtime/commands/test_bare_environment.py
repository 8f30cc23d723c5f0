"""The runtime with nothing but its own requirements: no torch, no onnx, one engine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import run_code, run_without
from helpers.paths import ROOT
from helpers.tiny_artifacts import picture_table
from packaging.requirements import Requirement

COMMANDS = sorted(
    path.stem
    for path in (ROOT / "pfnr_runtime" / "commands").glob("*.py")
    if path.stem not in ("__init__", "console", "progress")
)


def closure(*names: str) -> set[str]:
    """Distributions that installing `names` brings along, themselves included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to pfnr_runtime and to what numpy, av, typer and onnxruntime need, and no more."""
    site = tmp_path_factory.mktemp("bare")
    (site / "pfnr_runtime").symlink_to(ROOT / "pfnr_runtime")
    for name in closure("numpy", "av", "typer", "onnxruntime"):
        for file in importlib.metadata.files(name) or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__", "bin") and not (site / top).exists():
                (site / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    return site


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with `site` in place of everything installed."""
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
    )


def test_the_bare_environment_is_bare(bare: Path) -> None:
    for name in ("torch", "onnx", "safetensors", "polygraphy", "pytest"):
        assert python(bare, "-c", f"import {name}").returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_help(command: str, bare: Path) -> None:
    done = python(bare, "-m", f"pfnr_runtime.commands.{command}", "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_module_imports(bare: Path) -> None:
    done = python(
        bare,
        "-c",
        "import importlib, pkgutil, pfnr_runtime\n"
        "for m in pkgutil.walk_packages(pfnr_runtime.__path__, 'pfnr_runtime.'):\n"
        "    importlib.import_module(m.name)",
    )
    assert done.returncode == 0, done.stderr


def test_it_decodes(bare: Path, table_file: Path) -> None:
    done = python(bare, "-m", "pfnr_runtime.commands.decode", str(table_file), "md5:", "--quiet")
    assert done.stdout == f"MD5={hashlib.md5(picture_table().tobytes()).hexdigest()}\n", done.stderr


def test_decoding_leaves_nothing_at_home(bare: Path, table_file: Path, tmp_path: Path) -> None:
    """ONNX Runtime would begin to report usage there."""
    home = tmp_path / "home"
    home.mkdir()
    code = (
        f"import os; os.environ.update(HOME={str(home)!r})\n"
        f"for name in ('XDG_CACHE_HOME', 'ORT_DISABLE_TELEMETRY'): os.environ.pop(name, None)\n"
        "from pfnr_runtime.commands.decode import app\n"
        f"app([{str(table_file)!r}, 'md5:', '-q'])"
    )
    done = python(bare, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(home.iterdir()) == []


def loaded_by(statement: str, *blocked: str) -> set[str]:
    """Top-level modules in memory after a statement in a new Python where `blocked` cannot be imported."""
    done = run_code(
        "import json, sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        f"{statement}\n"
        "print(json.dumps(sorted({n.split('.')[0] for n, m in sys.modules.items() if m is not None})))"
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "av", "numpy", "typer", "rich"}
    assert not loaded_by("import pfnr_runtime") & heavy


def test_importing_the_decoder_loads_no_engine_and_no_codec() -> None:
    loaded = loaded_by("from pfnr_runtime import VideoDecoder, Frame, FrameBatch")
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "onnxruntime", "av", "typer", "rich"}


def test_only_a_packed_video_loads_what_unpacks_one(table_file: Path) -> None:
    code = (
        "from pfnr_runtime import VideoDecoder\n"
        f"with VideoDecoder({str(table_file)!r}) as decoder: decoder[0]\n"
        "assert not [name for name in sys.modules if name.startswith('pfnr_runtime.coding')]"
    )
    loaded_by(code)


def test_a_program_decodes_without_the_command_line(table_file: Path) -> None:
    """The Python API alone, where no command could run."""
    code = (
        "import hashlib, pfnr_runtime\n"
        f"with pfnr_runtime.VideoDecoder({str(table_file)!r}) as decoder:\n"
        f"    assert hashlib.md5(decoder[:].data.tobytes()).hexdigest() == "
        f"{hashlib.md5(picture_table().tobytes()).hexdigest()!r}"
    )
    loaded_by(code, "typer", "click", "rich")


def test_decoding_never_loads_torch_or_onnx(table_file: Path, tmp_path: Path) -> None:
    loaded = loaded_by(
        "from pfnr_runtime.commands.decode import app\n"
        f"app([{str(table_file)!r}, {str(tmp_path / 'out.mp4')!r}, '-q'], standalone_mode=False)"
    )
    assert not loaded & {"torch", "onnx"}
    assert {"av", "onnxruntime"} <= loaded


def test_inspecting_needs_neither_engine_nor_codec(table_file: Path) -> None:
    loaded_by(
        "import os; sys.stdout = open(os.devnull, 'w')\n"
        "from pfnr_runtime.commands.inspect import app\n"
        f"app([{str(table_file)!r}], standalone_mode=False)\n"
        "sys.stdout = sys.__stdout__",
        *("onnxruntime", "av", "torch", "onnx"),
    )


def test_a_missing_engine_exits_with_4_and_says_what_to_install(table_file: Path) -> None:
    done = run_without("onnxruntime", "decode", table_file, "md5:")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "no inference engine is installed" in done.stderr
    assert "pip install 'pfnr[ort]'" in done.stderr
