"""Commands of the runtime in separate processes, run as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from helpers.paths import ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command_line(command: str, *arguments: object) -> list[str]:
    """What runs `pfnr-COMMAND` in a separate process, installed or not."""
    return [sys.executable, "-m", f"pfnr_runtime.commands.{command}", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a new process with the runtime's modules at hand."""
    line = [sys.executable, "-c", code]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=120)


def run_without(module: str, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `pfnr-COMMAND` in a new process where `module` cannot be imported."""
    line = [f"pfnr-{command}", *map(str, arguments)]
    return run_code(
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from pfnr_runtime.commands.{command} import main\n"
        f"sys.argv = {line!r}\n"
        "main()"
    )
