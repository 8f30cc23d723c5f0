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
